// Publishes a transfer over two journals as one transaction, and reads it back: all of it or nothing is seen in each.
//
//     node transaction.mjs http://127.0.0.1:8080 examples/debits examples/credits
import { writeFile } from "node:fs/promises";
import { JournalClient } from "@x/journal-client";
import {
  jsonLines,
  jsonMessages,
  Publisher,
  ReadCommitted,
  writeAckIntents,
} from "@x/journal-client/messages";

const [endpoint, debits, credits] = process.argv.slice(2);
if (endpoint === undefined || debits === undefined || credits === undefined) {
  console.error("usage: node transaction.mjs ENDPOINT JOURNAL JOURNAL");
  process.exit(2);
}

const type = jsonMessages("uuid");
const framings = [jsonLines()];
/** @param {string} journal */
const to = (journal) => () => ({ journal, contentType: "application/x-ndjson" });

const client = new JournalClient({ endpoints: endpoint });
const service = client.appendService();
try {
  const publisher = new Publisher(service, { type, framings });
  publisher.publishUncommitted(to(debits), { account: "alice", amount: -10 });
  publisher.publishUncommitted(to(credits), { account: "bob", amount: 10 });

  // First everything is appended. Then the decision is kept where it survives this process, and only then it is told:
  // whoever finds the file after a crash writes what is in it again.
  for (const pending of service.pendingExcept("")) {
    const error = await pending.err();
    if (error !== undefined) throw error;
  }
  const intents = publisher.buildAckIntents();
  const kept = intents.map(({ journal, intent }) => ({
    journal,
    intent: Buffer.from(intent).toString("base64"),
  }));
  await writeFile("transaction.json", JSON.stringify(kept), { flush: true });
  await writeAckIntents(service, intents);

  for (const journal of [debits, credits]) {
    const head = await client.append({ journal }, { content: [] });
    const request = { journal, endOffset: head.commit?.end ?? 0n };
    for await (const { message, begin } of new ReadCommitted(client, request, { type, framings })) {
      console.log(`${journal} at ${begin}: ${JSON.stringify(message)}`);
    }
  }
} finally {
  await client.close();
}
