import { JournalClient } from "@x/journal-client";

const client = new JournalClient({ endpoints: process.env.BROKER ?? "http://127.0.0.1:8080" });

// An append is a transaction: all of it at one place, or nothing.
const { commit } = await client.append(
  { journal: "examples/log" },
  { content: Buffer.from("hello, gazette\n") },
);
console.log(`committed at ${commit?.begin}`);

// A reader that goes on through restarts of brokers, from one of them to another, without a gap and without a duplicate.
const reader = client.retryReader({ journal: "examples/log", offset: commit?.begin, endOffset: commit?.end });
for await (const bytes of reader) process.stdout.write(bytes);

await client.close();
