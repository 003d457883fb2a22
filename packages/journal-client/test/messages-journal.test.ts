import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AppendService } from "../src/append/append-service.js";
import { JournalClient } from "../src/client/journal-client.js";
import {
  clockFromMs,
  Flags,
  fixedProtobuf,
  jsonLines,
  jsonMessages,
  type Mapping,
  type MessageType,
  Publisher,
  parseUuid,
  producerId,
  ReadCommitted,
  ReadUncommitted,
  Sequencer,
  uuidBytes,
  writeAckIntents,
} from "../src/messages.js";
import { chunk, StubBroker, specOf } from "./support/stub-broker.js";

interface Click {
  uuid?: string;
  readonly n: number;
}

const type = jsonMessages<Click>("uuid");
const framings = [jsonLines<Click>()];
const to = (journal: string): Mapping<Click> => {
  return () => ({ journal, contentType: "application/x-ndjson" });
};

let broker: StubBroker;
let client: JournalClient;
let appends: AppendService;

beforeEach(async () => {
  broker = await StubBroker.start();
  client = new JournalClient({ endpoints: broker.endpoint });
  appends = client.appendService();
});

afterEach(async () => {
  await client.close();
  await broker.stop();
  expect(broker.scriptErrors).toEqual([]);
});

function create(journal: string, contentType = "application/x-ndjson"): void {
  broker.create(journal);
  const kept = broker.journals.get(journal);
  const labels = { labels: [{ name: "content-type", value: contentType, prefix: false }] };
  if (kept) kept.spec = specOf(journal, { labels });
}

/** The text of a message of producer 01...: what another process could have written. */
function line(n: number, clock: number, flags: number): string {
  const text = `00000000-0000-1000-8000-010000000000`;
  const uuid = uuidBytes(text);
  const parts = { producer: producerId("010000000000"), clock: BigInt(clock), flags };
  expect(parseUuid(uuid).producer).toBe(parts.producer);
  const bytes = Buffer.from(uuid);
  bytes.writeUInt32BE(clock >> 4, 0);
  bytes.writeUInt16BE(0x8000 | ((clock & 0xf) << 10) | flags, 8);
  const hex = bytes.toString("hex");
  const formatted = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  return `${JSON.stringify({ n, uuid: formatted })}\n`;
}

async function committedNow(
  journal: string,
  options: { sequencer?: Sequencer<Click> } = {},
): Promise<number[]> {
  const end = BigInt(broker.content(journal).length);
  if (end === 0n) return [];
  const got: number[] = [];
  for await (const { message } of new ReadCommitted(
    client,
    { journal, endOffset: end },
    { type, framings, ...options },
  )) {
    got.push(message.n);
  }
  return got;
}

describe("Publisher", () => {
  it("publishes a message on its own, with a UUID of now and of this publisher", async () => {
    create("clicks/one");
    const publisher = new Publisher(appends, { type, framings });
    const before = clockFromMs(Date.now() - 1);
    const message: Click = { n: 7 };
    const append = publisher.publishCommitted(to("clicks/one"), message);
    expect(await append.err()).toBeUndefined();
    expect(broker.content("clicks/one").toString()).toBe(`${JSON.stringify(message)}\n`);
    const uuid = parseUuid(uuidBytes(message.uuid ?? ""));
    expect(uuid.producer).toBe(publisher.producer);
    expect(uuid.flags).toBe(Flags.OUTSIDE_TXN);
    expect(uuid.clock > before && uuid.clock < clockFromMs(Date.now() + 1000)).toBe(true);
    expect(await committedNow("clicks/one")).toEqual([7]);
  });

  it("commits a transaction over two journals with its acknowledgements, and not before", async () => {
    create("clicks/one");
    create("clicks/two");
    const publisher = new Publisher(appends, { type, framings });
    const started = [1, 2, 3, 4].map((n) =>
      publisher.publishUncommitted(to(n % 2 === 0 ? "clicks/two" : "clicks/one"), { n }),
    );
    expect(await Promise.all(started.map((append) => append.err()))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    expect([await committedNow("clicks/one"), await committedNow("clicks/two")]).toEqual([[], []]);

    const intents = publisher.buildAckIntents();
    expect(intents.map(({ journal }) => journal)).toEqual(["clicks/one", "clicks/two"]);
    expect(publisher.buildAckIntents()).toEqual([]);
    await writeAckIntents(appends, intents);
    // Written again after a crash, they change nothing.
    await writeAckIntents(appends, intents);
    expect([await committedNow("clicks/one"), await committedNow("clicks/two")]).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it("gives the messages of a journal ever larger clocks, also while the wall clock goes back", async () => {
    create("clicks/one");
    const times = [5_000, 4_000, 3_000, 6_000];
    const clock = {
      wallMs: () => times.shift() ?? 0,
      monotonicMs: () => 0,
      setTimer: () => () => {},
    };
    const publisher = new Publisher(appends, { type, framings, clock });
    const started = [1, 2, 3, 4].map((n) => publisher.publishCommitted(to("clicks/one"), { n }));
    await Promise.all(started.map((append) => append.done));
    expect(await committedNow("clicks/one")).toEqual([1, 2, 3, 4]);
  });

  it("appends nothing of a message that is refused, and throws what refused it", async () => {
    create("clicks/one");
    const refused = new Error("n is negative");
    const checked: MessageType<Click> = {
      ...type,
      validate: ({ n }) => {
        if (n < 0) throw refused;
      },
    };
    const publisher = new Publisher(appends, { type: checked, framings });
    expect(() => publisher.publishCommitted(to("clicks/one"), { n: -1 })).toThrow(refused);
    const circular: Click & { self?: unknown } = { n: 2 };
    circular.self = circular;
    expect(() => publisher.publishUncommitted(to("clicks/one"), circular)).toThrow(TypeError);
    expect(publisher.buildAckIntents()).toEqual([]);
    await publisher.publishCommitted(to("clicks/one"), { n: 3 }).done;
    expect(await committedNow("clicks/one")).toEqual([3]);
  });

  it("refuses a content type that it has no framing for", () => {
    const publisher = new Publisher(appends, { type, framings });
    const mapping: Mapping<Click> = () => ({ journal: "clicks/one", contentType: "text/csv" });
    expect(() => publisher.publishCommitted(mapping, { n: 1 })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });

  it("says which acknowledgements could not be written", async () => {
    create("clicks/one");
    const intents = ["clicks/one", "no/such", "nor/this"].map((journal) => ({
      journal,
      intent: Buffer.from("{}\n"),
    }));
    await expect(writeAckIntents(appends, intents)).rejects.toMatchObject({
      code: "aborted",
      message: expect.stringContaining("no/such, nor/this"),
    });
    await expect(writeAckIntents(appends, intents.slice(0, 2))).rejects.toMatchObject({
      code: "journal-not-found",
    });
  });
});

describe("reading messages", () => {
  it("gives them as they were written, with their offsets and UUIDs", async () => {
    create("clicks/one");
    const lines = [
      line(1, 1, Flags.CONTINUE_TXN),
      line(1, 1, Flags.CONTINUE_TXN),
      line(2, 2, Flags.ACK_TXN),
      '{"n":3}\n',
    ];
    broker.grow("clicks/one", lines.join(""));
    const end = BigInt(lines.join("").length);
    const got: unknown[] = [];
    for await (const each of new ReadUncommitted(
      client,
      { journal: "clicks/one;meta", endOffset: end },
      { type, framings },
    )) {
      expect(each.journal.name).toBe("clicks/one;meta");
      got.push([each.message.n, Number(each.begin), Number(each.end), each.uuid.flags]);
    }
    const size = lines[0]?.length ?? 0;
    expect(got).toEqual([
      [1, 0, size, Flags.CONTINUE_TXN],
      [1, size, 2 * size, Flags.CONTINUE_TXN],
      [2, 2 * size, 3 * size, Flags.ACK_TXN],
      [3, 3 * size, 3 * size + 8, 0],
    ]);
  });

  it("reads a transaction again that is longer than the sequencer holds", async () => {
    create("clicks/one");
    const many = Array.from({ length: 50 }, (_, index) => line(index + 1, index + 1, Flags.CONTINUE_TXN));
    broker.grow("clicks/one", many.join("") + line(51, 51, Flags.ACK_TXN));
    const sequencer = new Sequencer<Click>({ buffer: 4 });
    expect(await committedNow("clicks/one", { sequencer })).toEqual(
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
    expect(broker.reads.map(({ request }) => Number(request.endOffset)).length).toBe(2);
  });

  it("goes on from a checkpoint, without a gap and without a duplicate", async () => {
    create("clicks/one");
    const written = [
      line(1, 1, Flags.OUTSIDE_TXN),
      line(2, 2, Flags.CONTINUE_TXN),
      line(3, 3, Flags.CONTINUE_TXN),
      line(4, 4, Flags.ACK_TXN),
      line(5, 5, Flags.OUTSIDE_TXN),
    ].join("");
    broker.grow("clicks/one", written);
    const endOffset = BigInt(written.length);
    const first = new ReadCommitted(client, { journal: "clicks/one", endOffset }, { type, framings });
    expect((await first.next())?.message.n).toBe(1);
    expect((await first.next())?.message.n).toBe(2);
    // 2 is not processed yet: the checkpoint is before it.
    const { offsets, states } = first.checkpoint();
    first.close();
    const sequencer = new Sequencer<Click>({ offsets, states });
    const offset = offsets.get("clicks/one") ?? 0n;
    const second = new ReadCommitted(
      client,
      { journal: "clicks/one", offset, endOffset },
      { type, framings, sequencer },
    );
    const got: number[] = [];
    for await (const { message } of second) got.push(message.n);
    expect(got).toEqual([2, 3, 5]);
  });

  it("gives acknowledgements as well when asked", async () => {
    create("clicks/one");
    const written = line(1, 1, Flags.CONTINUE_TXN) + line(2, 2, Flags.ACK_TXN);
    broker.grow("clicks/one", written);
    const reader = new ReadCommitted(
      client,
      { journal: "clicks/one", endOffset: BigInt(written.length) },
      { type, framings, acknowledgements: true },
    );
    const flags: number[] = [];
    for await (const { uuid } of reader) flags.push(uuid.flags);
    expect(flags).toEqual([Flags.CONTINUE_TXN, Flags.ACK_TXN]);
  });

  it("throws for bytes that are no message and goes on behind them, or tells of them and goes on by itself", async () => {
    create("clicks/one");
    const written = '{"n":1}\nrubbish\n{"n":2}\n';
    broker.grow("clicks/one", written);
    const request = { journal: "clicks/one", endOffset: BigInt(written.length) };
    const strict = new ReadUncommitted(client, request, { type, framings });
    expect((await strict.next())?.message.n).toBe(1);
    await expect(strict.next()).rejects.toMatchObject({ code: "bad-message" });
    expect((await strict.next())?.message.n).toBe(2);
    expect(await strict.next()).toBeUndefined();

    const bad: unknown[] = [];
    const lenient = new ReadUncommitted(client, request, {
      type,
      framings,
      onBadMessage: (error, { begin, end }) => bad.push([error.code, begin, end]),
    });
    const got: number[] = [];
    for await (const { message } of lenient) got.push(message.n);
    expect([got, bad]).toEqual([[1, 2], [["bad-message", 8n, 16n]]]);
  });

  it("counts JSON that is no message, and a UUID that is none, among the bytes that are no message", async () => {
    create("clicks/one");
    const lines = [
      "null",
      "5",
      '"text"',
      '{"n":1,"uuid":"zz"}',
      '{"n":1,"uuid":5}',
      '{"n":2}',
      '{"n":3,"uuid":null}',
    ];
    const written = lines.map((text) => `${text}\n`).join("");
    broker.grow("clicks/one", written);
    const request = { journal: "clicks/one", endOffset: BigInt(written.length) };
    for (const Reading of [ReadUncommitted, ReadCommitted] as const) {
      const bad: [string, string][] = [];
      const lenient = new Reading(client, request, {
        type,
        framings,
        onBadMessage: ({ code }, { begin, end }) =>
          bad.push([code, written.slice(Number(begin), Number(end) - 1)]),
      });
      const got: number[] = [];
      for await (const { message } of lenient) got.push(message.n);
      expect(got).toEqual([2, 3]);
      expect(bad).toEqual(lines.slice(0, 5).map((text) => ["bad-message", text]));

      const strict = new Reading(client, request, { type, framings });
      for (let count = 0; count < 5; count++) {
        await expect(strict.next()).rejects.toMatchObject({ code: "bad-message" });
      }
      expect((await strict.next())?.message.n).toBe(2);
      strict.close();
    }
  });

  it("blames the journal for whatever a type of messages cannot make of its bytes", async () => {
    create("clicks/one");
    broker.grow("clicks/one", '{"n":1}\n{"n":2}\n{"n":3}\n');
    const oops = new RangeError("oops");
    const odd: MessageType<Click> = {
      ...type,
      getUuid: ({ n }) => {
        if (n === 1) throw oops;
        return n === 2 ? Uint8Array.of(1, 2, 3) : undefined;
      },
    };
    const reader = new ReadUncommitted(
      client,
      { journal: "clicks/one", endOffset: 24n },
      { type: odd, framings },
    );
    await expect(reader.next()).rejects.toMatchObject({
      code: "bad-message",
      cause: oops,
      journal: "clicks/one",
    });
    await expect(reader.next()).rejects.toMatchObject({ code: "bad-message" });
    expect((await reader.next())?.message.n).toBe(3);
    expect(await reader.next()).toBeUndefined();
  });

  it("refuses to begin without a request, a type or framings", () => {
    for (const [request, options] of [
      [undefined, { type, framings }],
      [{ journal: "clicks/one" }, undefined],
      [{ journal: "clicks/one" }, { framings }],
      [{ journal: "clicks/one" }, { type }],
    ]) {
      expect(() => new ReadUncommitted(client, request as never, options as never)).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });

  it("goes on behind bytes that are gone, with right offsets, and drops a message whose rest is gone", async () => {
    create("clicks/one");
    const lines = [0, 1, 2, 3].map((n) => line(n, 16 * (n + 1), Flags.OUTSIDE_TXN));
    const sizes = lines.map(({ length }) => BigInt(length));
    const [size = 0n] = sizes;
    expect(sizes).toEqual([size, size, size, size]);
    const [whole = "", cut = "", behind = "", last = ""] = lines;
    // One message and half of another; a gap; a message; a gap between messages; a message.
    const places = [0n, 10_000n, 20_000n] as const;
    const answers = [
      chunk(places[0], whole + cut.slice(0, cut.length / 2)),
      chunk(places[1], behind),
      chunk(places[2], last),
    ];
    const jumps: [bigint, bigint][] = [];
    const told = { type, framings, onOffsetJump: (from: bigint, to: bigint) => jumps.push([from, to]) };
    for (const options of [told, { type, framings }]) {
      broker.onRead(...answers);
      const seen: unknown[] = [];
      const request = { journal: "clicks/one", endOffset: places[2] + size };
      for await (const { message, begin, end } of new ReadUncommitted(client, request, options)) {
        seen.push([message.n, begin, end]);
      }
      expect(seen).toEqual([
        [0, 0n, size],
        [2, places[1], places[1] + size],
        [3, places[2], places[2] + size],
      ]);
    }
    // From where the message began that is dropped.
    expect(jumps).toEqual([
      [size, places[1]],
      [places[1] + size, places[2]],
    ]);
  });

  it("waits for messages at the end of the journal, until it is closed or its signal is aborted", async () => {
    create("clicks/one");
    const controller = new AbortController();
    const options = { type, framings, signal: controller.signal };
    const reader = new ReadCommitted(client, { journal: "clicks/one", block: true }, options);
    const first = reader.next();
    broker.grow("clicks/one", '{"n":1}\n');
    expect((await first)?.message.n).toBe(1);
    const waiting = reader.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it("refuses a journal whose framing it was not given, and names both", async () => {
    create("clicks/one", "application/x-protobuf-fixed");
    const reader = new ReadUncommitted(client, { journal: "clicks/one" }, { type, framings });
    await expect(reader.next()).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining("application/x-protobuf-fixed"),
    });
  });

  it("chooses the framing by the journal's content type", async () => {
    create("clicks/one", "application/x-protobuf-fixed");
    const protobuf = fixedProtobuf<Click>({
      encode: ({ n }) => Uint8Array.of(n),
      decode: ([n = 0]) => ({ n }),
    });
    broker.grow("clicks/one", protobuf.encode({ n: 9 }));
    const reader = new ReadUncommitted(
      client,
      { journal: "clicks/one", endOffset: 9n },
      { type, framings: [...framings, protobuf] },
    );
    expect((await reader.next())?.message.n).toBe(9);
  });
});
