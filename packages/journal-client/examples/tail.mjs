// Writes a journal to stdout, and whatever is appended to it from then on. Ends on Ctrl-C.
//
//     node tail.mjs http://127.0.0.1:8080 examples/log          from the end
//     node tail.mjs http://127.0.0.1:8080 examples/log 0        from this offset
import { pipeline } from "node:stream/promises";
import { JournalClient } from "@x/journal-client";

const [endpoint, journal, offset = "-1"] = process.argv.slice(2);
if (endpoint === undefined || journal === undefined) {
  console.error("usage: node tail.mjs ENDPOINT JOURNAL [OFFSET]");
  process.exit(2);
}

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
process.once("SIGTERM", () => interrupted.abort());

const client = new JournalClient({ endpoints: endpoint });
const reader = client.retryReader(
  { journal, offset: BigInt(offset), block: true },
  {
    signal: interrupted.signal,
    onOffsetJump: (from, to) => console.error(`offsets ${from} to ${to} are gone`),
    onRetry: ({ error, delayMs }) => console.error(`${error}; again in ${Math.round(delayMs)} ms`),
  },
);
try {
  await pipeline(reader, process.stdout);
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
} finally {
  await client.close();
}
console.error(`the next byte is at ${reader.offset}`);
