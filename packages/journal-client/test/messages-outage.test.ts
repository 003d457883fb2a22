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
const PERMISSION_DENIED = 7;
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

  it("reads a long transaction again without asking for the journal once more", async () => {
    broker.grow(journal, transaction(30));
    let lists = 0;
    broker.onList((call) => {
      lists++;
      return serveList(call);
    });
    broker.onList(() => expect.fail("it asked again"));
    expect(await readAll(new Sequencer({ buffer: 4 }))).toEqual(Array.from({ length: 30 }, (_, n) => n));
    expect(lists).toBe(1);
    expect(broker.reads.length).toBeGreaterThan(1);
  });

  it("throws what a reader would that is refused again and again, and goes on by a further `next`", async () => {
    broker.grow(journal, transaction(3));
    for (let time = 0; time < 4; time++) broker.onList(fail(PERMISSION_DENIED));
    const endOffset = BigInt(broker.content(journal).length);
    const reader = new ReadCommitted(client, { journal, endOffset }, options);
    await expect(reader.next()).rejects.toMatchObject({ code: "transport", grpcCode: PERMISSION_DENIED });
    for (let n = 0; n < 3; n++) expect((await reader.next())?.message.n).toBe(n);
    expect(await reader.next()).toBeUndefined();
  });

  it("ends at once when it is closed while nobody answers what it asks", async () => {
    let asked = (): void => {};
    const hangs = new Promise<void>((resolve) => {
      asked = resolve;
    });
    broker.onList(() => {
      asked();
      return new Promise<void>(() => {});
    });
    const reader = new ReadCommitted(client, { journal }, options);
    const failure = reader.next().then(
      () => expect.fail("it gave something"),
      (error: unknown) => error,
    );
    await hangs;
    reader.close();
    expect(await failure).toMatchObject({ name: "AbortError" });
  });
});
