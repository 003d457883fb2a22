import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { BufferedReader, JournalError, type ReadRetryEvent, RetryReader } from "../src/index.js";
import { HastyClock, middling, ROUTE, StillClock, unavailable } from "./append-support.js";
import {
  aborted,
  content,
  FakeReads,
  FakeStore,
  fixture,
  fragment,
  hanging,
  journal,
  metadata,
  readUntilEnd,
  rejection,
  type Script,
} from "./read-support.js";

const whoops = new JournalError("transport", "whoops", { grpcCode: 2 });
const URL_ = "https://store/a/journal/100-120";
const FRAGMENT = fragment(100n, 120n, { compressionCodec: "GZIP", backingStore: "s3://store/", modTime: 1n });

function hasty(): { clock: HastyClock; random: typeof middling } {
  return { clock: new HastyClock(), random: middling };
}

describe("a retrying reader", () => {
  it("goes on by itself through failures, and surfaces that there is no more yet", async () => {
    const client = new FakeReads([
      fixture({ content: "foo", error: whoops }),
      fixture({ content: "barba", error: whoops }),
      fixture({ status: "NOT_JOURNAL_BROKER" }),
      fixture({ content: "zbing", status: "OFFSET_NOT_YET_AVAILABLE" }),
      fixture({ content: "next " }),
      fixture({ status: "OFFSET_NOT_YET_AVAILABLE" }),
      fixture({ content: "read" }),
      fixture({ offset: 512n, content: "xxxxyyyy" }),
      hanging,
      fixture({ content: "foobar", error: whoops }),
      fixture({ content: "ba" }),
      fixture({ content: "z." }),
    ]);
    const reader = new RetryReader(client, { journal, offset: 100n }, hasty());
    expect([reader.offset, reader.journal]).toEqual([100n, journal]);
    expect(await readUntilEnd(reader)).toMatchObject({
      text: "foobarbazbing",
      error: { code: "offset-not-yet-available" },
    });
    expect(reader.offset).toBe(113n);
    // A broker that does not serve the journal said who does.
    expect(client.routesAsked[3]).toEqual(ROUTE);

    reader.restart({ ...reader.request, block: true });
    expect(await readUntilEnd(reader)).toMatchObject({ text: "next read", error: { code: "offset-jump" } });
    expect(reader.offset).toBe(512n);

    const rest = readUntilEnd(reader);
    while (client.requests.length < 9) await new Promise((resolve) => setImmediate(resolve));
    const reason = new Error("no more");
    reader.cancel(reason);
    expect(await rest).toEqual({ text: "xxxxyyyy", error: reason });
    expect(await rejection(reader.read())).toBe(reason);
    expect(await rejection(reader.seek(1n))).toBe(reason);

    reader.restart({ journal, offset: 100n, endOffset: 110n });
    expect(await readUntilEnd(reader)).toEqual({ text: "foobarbaz.", error: undefined });
    expect(reader.offset).toBe(110n);
    expect(await reader.read()).toBeUndefined();
    await reader.close();
    expect(client.open).toBe(0);
  });

  const endings: readonly (readonly [string, Script])[] = [
    ["content, then the end", fixture({ content: "foobar" })],
    [
      "content and the end at once",
      async function* () {
        yield content(100n, "foobar");
      },
    ],
    ["content, then an error", fixture({ content: "foobar", error: whoops })],
    [
      "content, an empty chunk and an error",
      async function* () {
        yield content(100n, "foobar");
        yield content(106n, "");
        throw new Error("not of this package");
      },
    ],
    [
      "single bytes, then the end",
      async function* () {
        for (const [at, byte] of [..."foobar"].entries()) {
          yield content(100n + BigInt(at), byte);
        }
      },
    ],
  ];
  it.each(endings)("recovers exactly from a reader that gives %s", async (_name, script) => {
    const client = new FakeReads([
      script,
      fixture({ content: "bazbing", status: "OFFSET_NOT_YET_AVAILABLE" }),
    ]);
    const reader = new RetryReader(client, { journal, offset: 100n }, hasty());
    expect(await readUntilEnd(reader)).toMatchObject({
      text: "foobarbazbing",
      error: { code: "offset-not-yet-available" },
    });
    expect(reader.offset).toBe(113n);
  });

  it("waits longer and longer, tells why, and begins anew after content", async () => {
    const clock = new StillClock();
    const events: ReadRetryEvent[] = [];
    const failing = fixture({ status: "INSUFFICIENT_JOURNAL_BROKERS" });
    const client = new FakeReads([
      ...Array(8).fill(failing),
      fixture({ content: "x", error: whoops }),
      hanging,
    ]);
    const reader = new RetryReader(
      client,
      { journal },
      { clock, random: middling, onRetry: (event) => events.push(event) },
    );
    const first = reader.read();
    const delays: number[] = [];
    for (let tries = 0; tries < 8; tries++) delays.push(await clock.step());
    expect(delays).toEqual([50, 50, 100, 100, 1000, 1000, 5000, 5000]);
    expect((await first)?.length).toBe(1);
    expect(events[7]).toMatchObject({ type: "retry", journal, offset: 0n, attempt: 7, delayMs: 5000 });
    const second = reader.read();
    second.catch(() => {});
    expect(await clock.step()).toBe(50);
    reader.cancel(whoops);
    expect(await rejection(second)).toBe(whoops);
    expect(clock.timers).toBe(0);
  });

  it("goes on at once when a stream with content was closed well, but not again and again without content", async () => {
    const clock = new StillClock();
    const closing: Script = async function* () {
      yield metadata(1n);
    };
    const client = new FakeReads([fixture({ content: "x" }), closing, closing, closing, hanging]);
    const reader = new RetryReader(client, { journal }, { clock, random: middling });
    await reader.read();
    const next = reader.read();
    next.catch(() => {});
    expect(await clock.step()).toBe(50);
    expect(client.requests.length).toBe(3);
    await reader.close();
    expect(await rejection(next)).toMatchObject({ code: "closed" });
  });

  it("surfaces that there is no such journal the fifth time, or at once with a header", async () => {
    const missing = fixture({ status: "JOURNAL_NOT_FOUND" });
    const client = new FakeReads(() => missing);
    const reader = new RetryReader(client, { journal, block: true }, hasty());
    expect(await rejection(reader.read())).toMatchObject({ code: "journal-not-found" });
    expect(client.requests.length).toBe(5);
    const { header } = metadata(0n);
    const sure = new FakeReads(() => missing);
    const other = new RetryReader(sure, { journal, header: header! }, hasty());
    expect(await rejection(other.read())).toMatchObject({ code: "journal-not-found" });
    expect(sure.requests.length).toBe(1);
  });

  it.each([
    ["NOT_ALLOWED", fixture({ status: "NOT_ALLOWED" }), "not-allowed"],
    ["gRPC's 7", fixture({ error: new JournalError("transport", "denied", { grpcCode: 7 }) }), "transport"],
    ["gRPC's 16", fixture({ error: new JournalError("transport", "who?", { grpcCode: 16 }) }), "transport"],
  ] as const)("surfaces %s the fourth time in a row", async (_name, script, code) => {
    const client = new FakeReads(() => script);
    const reader = new RetryReader(client, { journal, block: true }, hasty());
    expect(await rejection(reader.read())).toMatchObject({ code });
    expect(client.requests.length).toBe(4);
    const between = new FakeReads((rpc) =>
      rpc === 8 ? fixture({ content: "x" }) : rpc % 4 === 3 ? fixture({ error: whoops }) : script,
    );
    expect((await new RetryReader(between, { journal }, hasty()).read())?.length).toBe(1);
  });

  it.each([
    ["SUSPENDED", fixture({ status: "SUSPENDED" }), "suspended"],
    ["a wrong request", fixture({ error: new JournalError("invalid-argument", "no") }), "invalid-argument"],
    ["a closed client", fixture({ error: new JournalError("closed", "closed") }), "closed"],
  ] as const)("surfaces %s at once", async (_name, script, code) => {
    const client = new FakeReads(() => script);
    expect(await rejection(new RetryReader(client, { journal, block: true }, hasty()).read())).toMatchObject({
      code,
    });
    expect(client.requests.length).toBe(1);
  });

  it("forgets where the journal was when nobody answers there", async () => {
    const client = new FakeReads([fixture({ error: unavailable() }), fixture({ content: "x" })]);
    await new RetryReader(client, { journal }, hasty()).read();
    expect(client.routes).toEqual([ROUTE, undefined, ROUTE]);
  });

  it("ends a wait at once with the signal's own reason", async () => {
    const clock = new StillClock();
    const controller = new AbortController();
    const client = new FakeReads(() => fixture({ error: whoops }));
    const reader = new RetryReader(client, { journal }, { clock, signal: controller.signal });
    const pending = reader.read();
    pending.catch(() => {});
    await clock.nextDelayMs();
    const reason = new Error("enough");
    controller.abort(reason);
    expect(await rejection(pending)).toBe(reason);
    expect(clock.timers).toBe(0);
  });

  it("ends with the answer of a request that is only for metadata", async () => {
    const client = new FakeReads([fixture({ offset: 0n })]);
    const reader = new RetryReader(client, { journal, metadataOnly: true }, hasty());
    expect(await reader.read()).toBeUndefined();
    expect(reader.writeHead).toBe(1024n);
    expect(reader.fragment).toEqual(fragment(0n, 1024n));
  });

  it("tells jumps to whom it may concern, and iteration goes on", async () => {
    const jumps: [bigint, bigint][] = [];
    const client = new FakeReads([
      fixture({ offset: 10n, content: "ab" }),
      fixture({ offset: 20n, content: "cd" }),
    ]);
    const reader = new RetryReader(
      client,
      { journal, endOffset: 22n },
      { ...hasty(), onOffsetJump: (from, to) => jumps.push([from, to]) },
    );
    let text = "";
    for await (const chunk of reader) text += Buffer.from(chunk).toString();
    expect(text).toBe("abcd");
    expect(jumps).toEqual([
      [0n, 10n],
      [12n, 20n],
    ]);
  });

  it("ends the RPC when its loop is left", async () => {
    const client = new FakeReads([
      async function* (_request, signal) {
        yield content(0n, "x");
        await aborted(signal);
      },
    ]);
    for await (const _ of new RetryReader(client, { journal }, hasty())) break;
    expect(client.open).toBe(0);
  });
});

describe("a retrying reader of fragments", () => {
  const direct = fixture({ fragment: FRAGMENT, fragmentUrl: URL_ });
  const request = { journal, offset: 100n, endOffset: 123n, doNotProxy: true };
  const good = gzipSync("XXXXXhello, world!!!");

  it("asks for a fragment again that could not be fetched, with a new URL", async () => {
    const store = new FakeStore();
    let gets = 0;
    store.put(URL_, () => ({ body: gets++ < 2 ? good.subarray(0, 10) : good }));
    const client = new FakeReads([direct, direct, direct, fixture({ content: "end" })], store);
    const reader = new RetryReader(client, request, hasty());
    expect(await readUntilEnd(reader)).toEqual({ text: "XXXXXhello, world!!!end", error: undefined });
    expect(client.requests.map(({ offset, doNotProxy }) => [offset, doNotProxy])).toEqual([
      [100n, true],
      [100n, true],
      [100n, true],
      [120n, true],
    ]);
  });

  it.each([
    ["missing", (_store: FakeStore) => {}, 3],
    ["corrupt", (store: FakeStore) => store.put(URL_, Buffer.from("not gzip at all")), 3],
    ["empty", (store: FakeStore) => store.put(URL_, gzipSync("")), 3],
  ] as const)(
    "lets the broker read a fragment whose file stays %s, and only that one",
    async (_name, spoil, tries) => {
      const store = new FakeStore();
      spoil(store);
      const client = new FakeReads(
        [
          ...Array(tries).fill(direct),
          fixture({ content: "XXXXXhello, world!!!" }),
          fixture({ content: "end" }),
        ],
        store,
      );
      const reader = new RetryReader(client, request, hasty());
      expect(await readUntilEnd(reader)).toEqual({ text: "XXXXXhello, world!!!end", error: undefined });
      expect(client.requests.slice(tries)).toEqual([
        { ...request, doNotProxy: false, endOffset: 120n },
        { ...request, offset: 120n },
      ]);
    },
  );

  it("lets the broker read at once what may not, or cannot, be read here", async () => {
    const snappyless = { ...FRAGMENT, compressionCodec: "BROTLI" as "GZIP" };
    const store = new FakeStore();
    store.put(URL_, good);
    for (const [client, waits] of [
      [new FakeReads([direct, fixture({ content: "XXXXXhello, world!!!" }), fixture({ content: "end" })]), 0],
      [
        new FakeReads(
          [
            fixture({ fragment: snappyless, fragmentUrl: URL_ }),
            fixture({ content: "XXXXXhello, world!!!" }),
            fixture({ content: "end" }),
          ],
          store,
        ),
        0,
      ],
    ] as const) {
      const clock = new HastyClock();
      const reader = new RetryReader(client, request, { clock, random: middling });
      expect((await readUntilEnd(reader)).text).toBe("XXXXXhello, world!!!end");
      expect(clock.now).toBe(waits);
    }
  });

  it("takes turns when the broker cannot read it either", async () => {
    const store = new FakeStore();
    const client = new FakeReads(
      [
        direct,
        direct,
        direct,
        fixture({ error: whoops }),
        direct,
        fixture({ error: whoops }),
        direct,
        hanging,
      ],
      store,
    );
    const reader = new RetryReader(client, request, hasty());
    const pending = reader.read();
    pending.catch(() => {});
    while (client.requests.length < 8) await new Promise((resolve) => setImmediate(resolve));
    expect(client.requests.map(({ doNotProxy }) => doNotProxy)).toEqual([
      true,
      true,
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
    await reader.close();
  });

  it("goes on with the next fragment behind a file that is too long", async () => {
    const store = new FakeStore();
    store.put(URL_, gzipSync("XXXXXhello, world!!!and more"));
    const client = new FakeReads([direct, fixture({ content: "end" })], store);
    const reader = new RetryReader(client, request, hasty());
    expect(await readUntilEnd(reader)).toEqual({ text: "XXXXXhello, world!!!end", error: undefined });
    expect(store.open).toBe(0);
  });
});

describe("seeking with a retrying reader", () => {
  it("goes forward in a fragment, and everywhere else with a new RPC", async () => {
    const store = new FakeStore();
    store.put(URL_, Buffer.from("XXXXXhello, world!!!"));
    const plain = fragment(100n, 120n, { backingStore: "s3://store/", modTime: 1n });
    const direct = fixture({ fragment: plain, fragmentUrl: URL_ });
    const client = new FakeReads([direct, direct, fixture({ content: "far" })], store);
    const reader = new RetryReader(client, { journal, offset: 100n, doNotProxy: true }, hasty());
    expect(Buffer.from((await reader.read())!).toString()).toBe("XXXXXhe");
    expect(await reader.seek(2n, "current")).toBe(109n);
    expect(client.requests.length).toBe(1);
    expect(Buffer.from((await reader.read())!).toString()).toBe("o, wo");
    expect(await reader.seek(-9n, "current")).toBe(105n);
    expect(Buffer.from((await reader.read())!).toString()).toBe("he");
    expect(client.requests.map(({ offset }) => offset)).toEqual([100n, 105n]);
    expect(await reader.seek(500n)).toBe(500n);
    expect(Buffer.from((await reader.read())!).toString()).toBe("f");
    expect(await rejection(reader.seek(-600n, "current"))).toMatchObject({ code: "invalid-argument" });
    expect(reader.offset).toBe(501n);
    await reader.close();
    expect([client.open, store.open]).toEqual([0, 0]);
  });

  it("discards from a buffer when that holds the offset, else begins anew and resets it", async () => {
    const client = new FakeReads([
      async function* () {
        yield content(100n, "foo\nbar\nbaz\n");
      },
      fixture({ content: "XYZ\n" }),
    ]);
    const reader = new RetryReader(client, { journal, offset: 100n }, hasty());
    const buffered = new BufferedReader(reader);
    expect(Buffer.from(await buffered.peek(12)).toString()).toBe("foo\nbar\nbaz\n");
    expect(Buffer.from((await buffered.readLine())!).toString()).toBe("foo\n");
    expect(reader.adjustedOffset(buffered)).toBe(104n);
    expect(buffered.buffered).toBe(8);
    expect(await reader.adjustedSeek(2n, "current", buffered)).toBe(106n);
    expect(buffered.buffered).toBe(6);
    expect(Buffer.from((await buffered.readLine())!).toString()).toBe("r\n");
    const before = reader.reader;
    expect(await reader.adjustedSeek(-3n, "current", buffered)).toBe(105n);
    expect(buffered.buffered).toBe(0);
    expect(reader.offset).toBe(105n);
    expect(reader.reader).not.toBe(before);
    expect(await rejection(before.read())).toMatchObject({ code: "closed" });
    expect(Buffer.from((await buffered.readLine())!).toString()).toBe("XYZ\n");
    expect(client.requests.at(-1)?.offset).toBe(105n);
  });
});
