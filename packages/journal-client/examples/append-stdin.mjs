// Appends stdin to a journal: all of it as one append, or with --lines each line as soon as it is there.
//
//     echo hello | node append-stdin.mjs http://127.0.0.1:8080 examples/log
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { JournalClient } from "@x/journal-client";

const [endpoint, journal, mode] = process.argv.slice(2);
if (endpoint === undefined || journal === undefined || (mode !== undefined && mode !== "--lines")) {
  console.error("usage: node append-stdin.mjs ENDPOINT JOURNAL [--lines]");
  process.exit(2);
}

const client = new JournalClient({ endpoints: endpoint });
try {
  if (mode === "--lines") {
    // Small appends go together, and are tried again until they are committed.
    const service = client.appendService();
    for await (const line of createInterface({ input: process.stdin })) {
      await service.ready();
      const append = service.startAppend({ journal });
      append.writer.write(`${line}\n`);
      append.release();
    }
    for (const pending of service.pendingExcept("")) {
      const error = await pending.err();
      if (error !== undefined) throw error;
    }
  } else {
    // Brokers wait for the rest of an append that has begun, but not for long: stdin must not stall.
    const appender = client.appender({ journal });
    await pipeline(process.stdin, appender.asWritable());
    console.error(`appended, up to offset ${appender.response?.commit?.end}`);
  }
} finally {
  await client.close();
}
