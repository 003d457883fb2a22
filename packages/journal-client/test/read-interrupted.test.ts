import { describe, expect, it } from "vitest";
import {
  type ByteStream,
  type FragmentFile,
  FragmentReader,
  JournalClient,
  JournalError,
  openFragmentUrl,
  Reader,
  RetryReader,
} from "../src/index.js";
import { HastyClock, middling, unavailable } from "./append-support.js";
import { FakeReads, FakeStore, fixture, fragment, hanging, journal, rejection } from "./read-support.js";
import { chunk, hang, StubBroker } from "./support/stub-broker.js";

const other = "another/journal";
const URL_ = "https://store/a/journal/0-3000000";

function hasty(): { clock: HastyClock; random: typeof middling } {
  return { clock: new HastyClock(), random: middling };
}

async function text(chunk: Promise<Uint8Array | undefined>): Promise<string | undefined> {
  const bytes = await chunk;
  return bytes && Buffer.from(bytes).toString();
}

/** A broker that gives "one", and then nothing. */
async function silent(): Promise<StubBroker> {
  const broker = await StubBroker.start();
  broker.onRead(chunk(0n, "one"), hang());
  return broker;
}

const kinds: readonly (readonly [string, (client: JournalClient, signal?: AbortSignal) => ByteStream])[] = [
  ["a reader", (client, signal) => client.reader({ journal, block: true }, { ...(signal && { signal }) })],
  [
    "a retrying reader",
    (client, signal) => client.retryReader({ journal, block: true }, { ...(signal && { signal }) }),
  ],
];

describe.each(kinds)("%s that is closed while it waits for a broker", (_name, open) => {
  it("rejects that read and the next ones with `closed`: it is not the journal's end", async () => {
    await using broker = await silent();
    await using client = new JournalClient({ endpoints: broker.endpoint });
    const reader = open(client);
    expect(await text(reader.read())).toBe("one");
    const pending = rejection(reader.read());
    await reader.close();
    expect(await pending).toMatchObject({ code: "closed" });
    expect(await rejection(reader.read())).toMatchObject({ code: "closed" });
    expect(await rejection(reader.readInto(new Uint8Array(10)))).toMatchObject({ code: "closed" });
  });

  it("ends an iteration with `closed`", async () => {
    await using broker = await silent();
    await using client = new JournalClient({ endpoints: broker.endpoint });
    const reader = open(client);
    const loop = async (): Promise<void> => {
      for await (const bytes of reader) {
        expect(Buffer.from(bytes).toString()).toBe("one");
        setImmediate(() => void reader.close());
      }
    };
    expect(await rejection(loop())).toMatchObject({ code: "closed" });
  });

  it("rejects with the signal's reason when that came first", async () => {
    await using broker = await silent();
    await using client = new JournalClient({ endpoints: broker.endpoint });
    const controller = new AbortController();
    const reader = open(client, controller.signal);
    await reader.read();
    const pending = rejection(reader.read());
    const reason = new Error("enough");
    controller.abort(reason);
    await reader.close();
    expect(await pending).toBe(reason);
    expect(await rejection(reader.read())).toBe(reason);
  });
});

describe("a retrying reader that is restarted", () => {
  it("cancels the read that waits, and the next one is of the new request", async () => {
    await using broker = await silent();
    broker.onRead(chunk(100n, "two"), hang());
    await using client = new JournalClient({ endpoints: broker.endpoint });
    await using reader = client.retryReader({ journal, block: true });
    expect(await text(reader.read())).toBe("one");
    const old = rejection(reader.read());
    reader.restart({ journal: other, block: true, offset: 100n });
    const next = text(reader.read());
    expect(await old).toMatchObject({ name: "AbortError" });
    expect(await next).toBe("two");
    expect([reader.journal, reader.offset]).toEqual([other, 103n]);
    expect(broker.reads.map(({ request }) => request.journal)).toEqual([journal, other]);
  });

  it("ends the old read with the reason of a cancel before it, and takes one read of the new request at a time", async () => {
    await using broker = await silent();
    broker.onRead(hang());
    await using client = new JournalClient({ endpoints: broker.endpoint });
    const reader = client.retryReader({ journal, block: true });
    await reader.read();
    const old = rejection(reader.read());
    const reason = new Error("another journal");
    reader.cancel(reason);
    reader.restart({ journal: other, block: true });
    const next = rejection(reader.read());
    expect(await old).toBe(reason);
    expect(await rejection(reader.read())).toMatchObject({ code: "invalid-argument" });
    await reader.close();
    expect(await next).toMatchObject({ code: "closed" });
  });

  it("gives no byte that the old request brought meanwhile", async () => {
    const client = new FakeReads([fixture({ content: "old!" }), fixture({ content: "new!" })]);
    const reader = new RetryReader(client, { journal }, hasty());
    const old = reader.read().then(
      (bytes) => bytes,
      (error: unknown) => error,
    );
    while (client.open === 0) await undefined;
    reader.restart({ journal: other });
    expect(await old).toMatchObject({ name: "AbortError" });
    expect(reader.offset).toBe(0n);
    expect(await text(reader.read())).toBe("ne");
  });

  it("cancels a seek that goes on, which does not move the new request", async () => {
    const store = new FakeStore();
    store.put(URL_, Buffer.alloc(3_000_000, 1));
    const whole = fragment(0n, 3_000_000n, { backingStore: "s3://store/", modTime: 1n });
    const client = new FakeReads(
      [fixture({ fragment: whole, fragmentUrl: URL_ }), fixture({ content: "next" })],
      store,
    );
    const reader = new RetryReader(client, { journal, doNotProxy: true }, hasty());
    await reader.read();
    const seek = rejection(reader.seek(2_900_000n));
    reader.restart({ journal: other, offset: 5n });
    expect(await seek).toMatchObject({ name: "AbortError" });
    expect([reader.offset, reader.journal]).toEqual([5n, other]);
    expect(await text(reader.read())).toBe("ne");
    expect(client.requests.at(-1)).toEqual({ journal: other, offset: 5n });
    await reader.close();
    expect([client.open, store.open]).toEqual([0, 0]);
  });

  it("may be so from its own callbacks", async () => {
    const whoops = new JournalError("transport", "whoops", { grpcCode: 2 });
    for (const first of [fixture({ error: whoops }), fixture({ offset: 50n, content: "old!" })]) {
      const client = new FakeReads([first, fixture({ content: "new!" })]);
      const restart = (): void => reader.restart({ journal: other, offset: 7n });
      const reader: RetryReader = new RetryReader(
        client,
        { journal },
        { ...hasty(), onRetry: restart, onOffsetJump: restart },
      );
      expect(await rejection(reader.read())).toMatchObject({ name: "AbortError" });
      expect(await text(reader.read())).toBe("ne");
      expect(reader.offset).toBe(9n);
      await reader.close();
      expect(client.open).toBe(0);
    }
  });
});

describe("a reader of a fragment that is closed while it waits", () => {
  it.each([
    ["ends", { done: true, value: undefined }],
    ["gives a last chunk", { done: false, value: Buffer.from("0123456789") }],
  ] as const)("rejects with `closed` also when the file then %s", async (_name, last) => {
    const makers: readonly ((body: FragmentFile["body"]) => Promise<ByteStream>)[] = [
      async (body) => new FragmentReader(body, fragment(0n, 10n)),
      async (body) => {
        const store = { get: async () => ({ body, contentEncoding: "" }) };
        const client = new FakeReads(
          [fixture({ fragment: fragment(0n, 10n, { backingStore: "s3://store/" }), fragmentUrl: URL_ })],
          store,
        );
        return new Reader(client, { journal, doNotProxy: true });
      },
    ];
    for (const make of makers) {
      let asked = (): void => {};
      const waiting = new Promise<void>((resolve) => {
        asked = resolve;
      });
      let answer: (result: IteratorResult<Uint8Array, undefined>) => void = () => {};
      const file: AsyncIterator<Uint8Array> = {
        next: () =>
          new Promise((resolve) => {
            answer = resolve;
            asked();
          }),
        return: async () => {
          answer(last);
          return { done: true, value: undefined };
        },
      };
      const reader = await make({ [Symbol.asyncIterator]: () => file });
      const pending = rejection(reader.read());
      await waiting;
      await reader.close();
      expect(await pending).toMatchObject({ code: "closed" });
      expect(await rejection(reader.read())).toMatchObject({ code: "closed" });
    }
  });
});

describe("an offset behind the end that was asked for", () => {
  it("is the end after a jump, however the RPC ends", async () => {
    for (const onOffsetJump of [undefined, () => {}]) {
      const script = fixture({ offset: 200n, error: unavailable() });
      const client = new FakeReads([script]);
      const reader = new RetryReader(
        client,
        { journal, endOffset: 100n },
        { ...hasty(), ...(onOffsetJump && { onOffsetJump }) },
      );
      if (onOffsetJump === undefined) {
        expect(await rejection(reader.read())).toMatchObject({ code: "offset-jump", to: 200n });
      }
      expect(await reader.read()).toBeUndefined();
      expect(await reader.read()).toBeUndefined();
      expect([reader.offset, client.open, client.requests.length]).toEqual([200n, 0, 1]);

      const single = new Reader(
        new FakeReads([script]),
        { journal, endOffset: 100n },
        { ...(onOffsetJump && { onOffsetJump }) },
      );
      if (onOffsetJump === undefined) await rejection(single.read());
      expect(await single.read()).toBeUndefined();
    }
  });

  it("is the end when it is the write head that was asked for", async () => {
    for (const block of [false, true]) {
      const client = new FakeReads([fixture({ offset: 200n, status: "OFFSET_NOT_YET_AVAILABLE" })]);
      const reader = new RetryReader(client, { journal, offset: -1n, endOffset: 100n, block }, hasty());
      expect(await reader.read()).toBeUndefined();
      expect(await reader.read()).toBeUndefined();
      expect(client.requests.length).toBe(1);
    }
  });

  it("is the end after a seek, from which one may go back", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal, "0123456789");
    await using client = new JournalClient({ endpoints: broker.endpoint });
    const reader = client.retryReader({ journal, endOffset: 5n });
    for (const to of [5n, 7n]) {
      expect(await reader.seek(to)).toBe(to);
      expect(await reader.read()).toBeUndefined();
      expect(reader.offset).toBe(to);
    }
    expect(broker.reads).toEqual([]);
    expect(await reader.seek(3n)).toBe(3n);
    expect(await text(reader.read())).toBe("34");
    expect(await reader.read()).toBeUndefined();
  });

  it("is a mistake in the request of a caller", async () => {
    await using client = new JournalClient({ endpoints: "http://127.0.0.1:1" });
    const request = { journal, offset: 7n, endOffset: 5n };
    for (const reader of [client.reader(request), client.retryReader(request)]) {
      expect(await rejection(reader.read())).toMatchObject({ code: "invalid-argument" });
    }
  });

  it("hides no failure before it", async () => {
    const reader = new RetryReader(
      new FakeReads([fixture({ status: "SUSPENDED" })]),
      { journal, endOffset: 100n },
      hasty(),
    );
    expect(await rejection(reader.read())).toMatchObject({ code: "suspended" });
  });
});

describe("what is no request", () => {
  const client = new JournalClient({ endpoints: "http://127.0.0.1:1" });
  const wrong = (value: unknown): never => value as never;

  it.each([
    ["undefined", undefined],
    ["null", null],
    ["5", 5],
  ])("is refused with a sentence: %s", async (_name, value) => {
    const refusals: readonly (() => unknown)[] = [
      () => client.reader(wrong(value)),
      () => client.retryReader(wrong(value)),
      () => client.retryReader({ journal }).restart(wrong(value)),
      () => client.openRead(wrong(value))[Symbol.asyncIterator]().next(),
      () => client.listAllFragments(wrong(value)),
      () => client.openFragmentUrl(wrong(value)),
      () => client.openFragmentUrl(wrong({ url: URL_, fragment: value })),
      () => client.openFragmentUrl(wrong({ url: value, fragment: fragment(0n, 1n) })),
      () => client.openFragmentUrl(wrong({ url: URL_, fragment: { ...fragment(0n, 1n), end: value } })),
      () => client.installFileTransport(wrong(value)),
      () => client.reader({ journal }).seek(wrong(value)),
      () => client.retryReader({ journal }).seek(wrong(value), "current"),
      () => client.retryReader({ journal }).seek(1n, wrong(value ?? "end")),
    ];
    for (const refuse of refusals) {
      const error = await rejection((async () => refuse())());
      expect(error, String(refuse)).toMatchObject({ code: "invalid-argument" });
      expect(String(error)).toMatch(/ is .*: it must be /);
    }
  });

  it("is refused as a listing, when it is there", async () => {
    for (const value of [null, 5]) {
      expect(await rejection(client.listAllJournals(wrong(value)))).toMatchObject({
        code: "invalid-argument",
      });
    }
    expect(await rejection(openFragmentUrl(client.fragments, wrong({})))).toMatchObject({
      code: "invalid-argument",
    });
  });
});

it("a closed request for metadata has no good end either", async () => {
  const client = new FakeReads([hanging]);
  const reader = new RetryReader(client, { journal, metadataOnly: true }, hasty());
  const pending = rejection(reader.read());
  while (client.open === 0) await undefined;
  await reader.close();
  expect(await pending).toMatchObject({ code: "closed" });
});
