import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JournalClient } from "../src/client/journal-client.js";
import {
  buildUuid,
  Flags,
  formatUuid,
  jsonLines,
  jsonMessages,
  producerId,
  ReadCommitted,
  Sequencer,
} from "../src/messages.js";
import { HastyClock, middling } from "./append-support.js";
import { fail, StubBroker, specOf } from "./support/stub-broker.js";
import { serveList } from "./support/stub-memory.js";

interface Click {
  uuid?: string;
  readonly n: number;
}

const journal = "clicks/one";
const UNAVAILABLE = 14;
const options = {
  type: jsonMessages<Click>("uuid"),
  framings: [jsonLines<Click>()],
  clock: new HastyClock(),
  random: middling,
};

let broker: StubBroker;
let client: JournalClient;

beforeEach(async () => {
  broker = await StubBroker.start();
  client = new JournalClient({ endpoints: broker.endpoint });
  broker.create(journal);
  const kept = broker.journals.get(journal);
  const labels = { labels: [{ name: "content-type", value: "application/x-ndjson", prefix: false }] };
  if (kept) kept.spec = specOf(journal, { labels });
});

afterEach(async () => {
  await client.close();
  await broker.stop();
  expect(broker.scriptErrors).toEqual([]);
});

/** So many messages of one transaction, and their acknowledgement. */
function transaction(messages: number): string {
  const producer = producerId("010000000000");
  return Array.from({ length: messages + 1 }, (_, index) => {
    const flags = index === messages ? Flags.ACK_TXN : Flags.CONTINUE_TXN;
    const uuid = formatUuid(buildUuid({ producer, clock: BigInt(16 * (index + 1)), flags }));
    return `${JSON.stringify({ n: index, uuid })}\n`;
  }).join("");
}

async function readAll(sequencer: Sequencer<Click>): Promise<number[]> {
  const endOffset = BigInt(broker.content(journal).length);
  const got: number[] = [];
  for await (const { message } of new ReadCommitted(
    client,
    { journal, endOffset },
    { ...options, sequencer },
  )) {
    got.push(message.n);
  }
  return got;
}

describe("a reader of messages, while brokers are away for a moment", () => {
  it("goes on when they are away while it reads", async () => {
    broker.grow(journal, transaction(3));
    broker.onRead(fail(UNAVAILABLE));
    expect(await readAll(new Sequencer())).toEqual([0, 1, 2]);
    expect(broker.reads).toHaveLength(2);
  });

  it("begins when they are away while it asks for the journal", async () => {
    broker.grow(journal, transaction(3));
    broker.onList(fail(UNAVAILABLE));
    expect(await readAll(new Sequencer())).toEqual([0, 1, 2]);
  });

  it("reads a long transaction again when they are away while it asks for the journal once more", async () => {
    broker.grow(journal, transaction(30));
    broker.onList(serveList);
    broker.onList(fail(UNAVAILABLE));
    expect(await readAll(new Sequencer({ buffer: 4 }))).toEqual(Array.from({ length: 30 }, (_, n) => n));
  });

  it("goes on by a further `next` when that has failed", async () => {
    broker.grow(journal, transaction(30));
    broker.onList(fail(UNAVAILABLE));
    broker.onList(serveList);
    broker.onList(fail(UNAVAILABLE));
    const endOffset = BigInt(broker.content(journal).length);
    const sequencer = new Sequencer<Click>({ buffer: 4 });
    const reader = new ReadCommitted(client, { journal, endOffset }, { ...options, sequencer });
    const got: number[] = [];
    const failures: unknown[] = [];
    for (;;) {
      try {
        const envelope = await reader.next();
        if (envelope === undefined) break;
        got.push(envelope.message.n);
      } catch (error) {
        failures.push(error);
      }
    }
    expect(got).toEqual(Array.from({ length: 30 }, (_, n) => n));
    for (const failure of failures) {
      expect(failure).toMatchObject({ code: "transport", grpcCode: UNAVAILABLE });
    }
  });
});
