import { getEventListeners } from "node:events";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { BufferedReader, isJournalError, JournalError, OffsetJumpError, Reader } from "../src/index.js";
import { ROUTE } from "./append-support.js";
import {
  all,
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
} from "./read-support.js";

const URL_ = "https://store/a/journal/100-120";
const FRAGMENT = fragment(100n, 120n, { compressionCodec: "GZIP", backingStore: "s3://store/", modTime: 1n });

function stored(): FakeStore {
  const store = new FakeStore();
  store.put(URL_, gzipSync("XXXXXhello, world!!!"));
  return store;
}

describe("a reader", () => {
  it("gives the content of its RPC, and the end when the broker closes it well", async () => {
    const client = new FakeReads([fixture({ content: "foo bar" })]);
    const reader = new Reader(client, { journal, offset: 105n });
    expect(client.requests).toEqual([]);
    expect(await readUntilEnd(reader)).toEqual({ text: "foo bar", error: undefined });
    expect(reader.offset).toBe(112n);
    expect(reader.request).toEqual({ journal, offset: 112n });
    expect(await reader.read()).toBeUndefined();
    expect(client.open).toBe(0);
    expect(client.requests).toEqual([{ journal, offset: 105n }]);
  });

  it("reads a fragment from its store when the broker leaves its URL", async () => {
    const store = stored();
    const client = new FakeReads([fixture({ fragment: FRAGMENT, fragmentUrl: URL_ })], store);
    const reader = new Reader(client, { journal, offset: 105n, doNotProxy: true });
    expect(await readUntilEnd(reader)).toEqual({ text: "hello, world!!!", error: undefined });
    expect(store.gets).toEqual([{ url: URL_, headers: { "accept-encoding": "gzip" } }]);
    expect(reader.fragment).toEqual(FRAGMENT);
    expect(reader.offset).toBe(120n);
    expect([store.open, client.open]).toEqual([0, 0]);
    expect(client.routes).toEqual([ROUTE]);
  });

  it("opens no URL when it did not ask to read directly, or only for metadata", async () => {
    for (const request of [
      { journal, offset: 105n },
      { journal, offset: 105n, doNotProxy: true, metadataOnly: true },
    ]) {
      const store = stored();
      const reader = new Reader(
        new FakeReads([fixture({ fragment: FRAGMENT, fragmentUrl: URL_ })], store),
        request,
      );
      expect(await reader.read()).toBeUndefined();
      expect(store.gets).toEqual([]);
      expect(reader.response?.fragmentUrl).toBe(URL_);
      expect(reader.writeHead).toBe(1024n);
    }
  });

  it("begins at the write head with offset -1, which is no jump", async () => {
    const reader = new Reader(new FakeReads([fixture({ offset: 110n, content: "tail" })]), {
      journal,
      offset: -1n,
    });
    expect(reader.offset).toBe(-1n);
    expect(await readUntilEnd(reader)).toEqual({ text: "tail", error: undefined });
    expect(reader.offset).toBe(114n);
  });

  it("knows the write head when there is nothing to read there yet", async () => {
    const reader = new Reader(
      new FakeReads([
        fixture({ offset: 110n, status: "OFFSET_NOT_YET_AVAILABLE", fragment: fragment(0n, 1n) }),
      ]),
      { journal, offset: -1n },
    );
    expect(await rejection(reader.read())).toMatchObject({ code: "offset-not-yet-available", journal });
    expect(reader.offset).toBe(110n);
    expect(reader.writeHead).toBe(1024n);
  });

  it.each([
    ["JOURNAL_NOT_FOUND", "journal-not-found"],
    ["NOT_JOURNAL_BROKER", "not-journal-broker"],
    ["INSUFFICIENT_JOURNAL_BROKERS", "insufficient-journal-brokers"],
    ["OFFSET_NOT_YET_AVAILABLE", "offset-not-yet-available"],
    ["SUSPENDED", "suspended"],
    ["FRAGMENT_STORE_UNHEALTHY", "fragment-store-unhealthy"],
    ["NOT_ALLOWED", "not-allowed"],
    ["WRONG_ROUTE", "wrong-route"],
  ] as const)("fails with %s as %s, and stays failed", async (status, code) => {
    const client = new FakeReads([fixture({ status })]);
    const reader = new Reader(client, { journal, offset: 105n });
    const error = await rejection(reader.read());
    expect(error).toMatchObject({ code });
    expect(await rejection(reader.read())).toBe(error);
    expect(client.open).toBe(0);
  });

  it("gives content that came before a status", async () => {
    const reader = new Reader(
      new FakeReads([fixture({ content: "prior content", status: "OFFSET_NOT_YET_AVAILABLE" })]),
      { journal, offset: 105n },
    );
    const { text, error } = await readUntilEnd(reader);
    expect(text).toBe("prior content");
    expect(isJournalError(error, "offset-not-yet-available")).toBe(true);
    // The status of a later answer tells nothing about the write head.
    expect(reader.fragment).toEqual(fragment(0n, 1024n));
  });

  it("tells a jump once, and goes on behind it", async () => {
    const reader = new Reader(new FakeReads([fixture({ content: "foo bar baz bing", offset: 110n })]), {
      journal,
      offset: 105n,
    });
    const error = await rejection(reader.read());
    expect(error).toBeInstanceOf(OffsetJumpError);
    expect(error).toMatchObject({ code: "offset-jump", from: 105n, to: 110n, journal });
    expect(reader.offset).toBe(110n);
    expect(Buffer.from((await reader.read())!).toString()).toBe("foo bar ");
    expect(reader.offset).toBe(118n);
    expect(await readUntilEnd(reader)).toEqual({ text: "baz bing", error: undefined });
    expect(reader.offset).toBe(126n);
    expect(reader.fragment).toEqual(fragment(0n, 1024n));
    expect(reader.writeHead).toBe(1024n);
  });

  it("loses no content that comes with a jump", async () => {
    const client = new FakeReads([
      async function* () {
        yield metadata(100n);
        yield content(100n, "ab");
        yield content(200n, "cd");
      },
    ]);
    const reader = new Reader(client, { journal, offset: 100n });
    expect(await readUntilEnd(reader)).toMatchObject({ text: "ab", error: { from: 102n, to: 200n } });
    expect(await readUntilEnd(reader)).toEqual({ text: "cd", error: undefined });
    expect(reader.offset).toBe(202n);
  });

  it("tells jumps to whom it may concern instead, so that iteration goes on", async () => {
    const jumps: [bigint, bigint][] = [];
    const reader = new Reader(
      new FakeReads([fixture({ content: "foo", offset: 110n })]),
      { journal, offset: 105n },
      { onOffsetJump: (from, to) => jumps.push([from, to]) },
    );
    expect((await all(reader)).toString()).toBe("foo");
    expect(jumps).toEqual([[105n, 110n]]);
  });

  it("lets the failure of the RPC out as it is, behind the content before it", async () => {
    const potato = new JournalError("transport", "potato", { grpcCode: 2 });
    const reader = new Reader(new FakeReads([fixture({ content: "partial read", error: potato })]), {
      journal,
      offset: 105n,
    });
    expect(await readUntilEnd(reader)).toEqual({ text: "partial read", error: potato });
  });

  it("refuses content from before its offset", async () => {
    const client = new FakeReads([fixture({ content: "invalid", offset: 100n })]);
    const error = await rejection(new Reader(client, { journal, offset: 105n }).read());
    expect(error).toMatchObject({ code: "invalid-response" });
    expect(client.open).toBe(0);
  });

  it("refuses a URL with a fragment that does not hold its offset", async () => {
    const client = new FakeReads(
      [fixture({ fragment: FRAGMENT, fragmentUrl: URL_, offset: 120n })],
      stored(),
    );
    const reader = new Reader(client, { journal, offset: 120n, doNotProxy: true });
    expect(await rejection(reader.read())).toMatchObject({ code: "invalid-response" });
  });

  it("ends at endOffset, within a chunk of a broker and within a fragment", async () => {
    const request = { journal, offset: 105n, endOffset: 111n, doNotProxy: true };
    for (const script of [
      fixture({ content: "hello, world!!!" }),
      fixture({ fragment: FRAGMENT, fragmentUrl: URL_ }),
    ]) {
      const store = stored();
      const client = new FakeReads([script], store);
      const reader = new Reader(client, request);
      expect(await readUntilEnd(reader)).toEqual({ text: "hello,", error: undefined });
      expect(reader.offset).toBe(111n);
      expect([store.open, client.open]).toEqual([0, 0]);
    }
  });

  it("ends without content when the next offset is behind endOffset, and opens no URL for that", async () => {
    const store = stored();
    const reader = new Reader(
      new FakeReads([fixture({ fragment: FRAGMENT, fragmentUrl: URL_, offset: 115n })], store),
      { journal, offset: 10n, endOffset: 50n, doNotProxy: true },
    );
    expect(await readUntilEnd(reader)).toMatchObject({ text: "", error: { code: "offset-jump", to: 115n } });
    expect(await reader.read()).toBeUndefined();
    expect(store.gets).toEqual([]);
  });

  it("asks for nothing when it begins at its end", async () => {
    const client = new FakeReads([]);
    expect(await new Reader(client, { journal, offset: 5n, endOffset: 5n }).read()).toBeUndefined();
    expect(client.requests).toEqual([]);
  });

  it("passes its whole request on", async () => {
    const client = new FakeReads([fixture({ content: "x" })]);
    const request = {
      journal,
      offset: 3n,
      block: true,
      beginModTime: 77n,
      metadataOnly: false,
      endOffset: 4n,
    };
    await all(new Reader(client, request, { route: ROUTE }));
    expect(client.requests).toEqual([request]);
    expect(client.routesAsked).toEqual([ROUTE]);
  });

  it("takes one read at a time", async () => {
    const client = new FakeReads([hanging]);
    await using reader = new Reader(client, { journal });
    const first = reader.read();
    expect(await rejection(reader.read())).toMatchObject({ code: "invalid-argument" });
    await reader.close();
    expect(await rejection(first)).toMatchObject({ code: "closed" });
  });
});

describe("a reader whose caller has had enough", () => {
  it("rejects with the signal's own reason, before and within the RPC, and leaves no listener", async () => {
    const reason = new Error("enough");
    expect(
      await rejection(
        new Reader(new FakeReads([]), { journal }, { signal: AbortSignal.abort(reason) }).read(),
      ),
    ).toBe(reason);
    const controller = new AbortController();
    const client = new FakeReads([hanging]);
    const reader = new Reader(client, { journal }, { signal: controller.signal });
    const pending = reader.read();
    await Promise.resolve();
    controller.abort(reason);
    expect(await rejection(pending)).toBe(reason);
    expect(client.open).toBe(0);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it("leaves no listener behind a good end", async () => {
    const controller = new AbortController();
    await all(
      new Reader(new FakeReads([fixture({ content: "x" })]), { journal }, { signal: controller.signal }),
    );
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  });

  it("ends the RPC when the loop is left, and when a stream of it is destroyed or cancelled", async () => {
    for (const leave of [
      async (reader: Reader) => {
        for await (const _ of reader) break;
      },
      async (reader: Reader) => {
        const readable = reader.asReadable();
        await new Promise((resolve) => readable.once("data", resolve));
        readable.destroy();
        await new Promise((resolve) => readable.once("close", resolve));
      },
      async (reader: Reader) => {
        const stream = reader.asReadableStream().getReader();
        expect((await stream.read()).value?.length).toBe(3);
        await stream.cancel();
      },
    ]) {
      const client = new FakeReads([
        async function* (request, signal) {
          yield content(0n, "foo");
          yield* hanging(request, signal);
        },
      ]);
      const reader = new Reader(client, { journal });
      await leave(reader);
      expect(client.open).toBe(0);
      expect(await rejection(reader.read())).toMatchObject({ code: "closed" });
    }
  });

  it("ends the transfer of a fragment when the loop is left", async () => {
    const store = stored();
    const client = new FakeReads([fixture({ fragment: FRAGMENT, fragmentUrl: URL_ })], store);
    const reader = new Reader(client, { journal, offset: 100n, doNotProxy: true });
    for await (const chunk of reader) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(store.open).toBe(0);
  });
});

describe("a reader as a stream", () => {
  it("gives everything, as Node's and as the web's", async () => {
    const make = () => new Reader(new FakeReads([fixture({ content: "foobar" })]), { journal });
    expect((await all(make().asReadable())).toString()).toBe("foobar");
    expect((await all(make().asReadableStream())).toString()).toBe("foobar");
  });

  it("reads no further than it is asked", async () => {
    let given = 0;
    const client = new FakeReads([
      async function* () {
        while (true) {
          yield content(BigInt(given * 65_536), new Uint8Array(65_536));
          given++;
        }
      },
    ]);
    const reader = new Reader(client, { journal });
    const stream = reader.asReadableStream().getReader();
    await stream.read();
    await stream.read();
    expect(given).toBeLessThanOrEqual(2);
    await stream.cancel();
    given = 0;
    const other = new Reader(client, { journal });
    await other.close();
  });

  it("fails with the error of the read", async () => {
    const error = new JournalError("transport", "gone", { grpcCode: 14 });
    const make = () => new Reader(new FakeReads([fixture({ content: "foo", error })]), { journal });
    expect(await rejection(all(make().asReadable()))).toBe(error);
    expect(await rejection(all(make().asReadableStream()))).toBe(error);
  });
});

describe("seeking with a reader", () => {
  it("needs another reader until a fragment is read directly", async () => {
    const client = new FakeReads(
      [fixture({ fragment: FRAGMENT, fragmentUrl: URL_, offset: 100n })],
      stored(),
    );
    const reader = new Reader(client, { journal, doNotProxy: true });
    expect(await rejection(reader.seek(101n))).toMatchObject({ code: "seek-requires-new-reader" });
    expect(await rejection(reader.read())).toMatchObject({ code: "offset-jump", from: 0n, to: 100n });
    expect(await rejection(reader.seek(101n))).toMatchObject({ code: "seek-requires-new-reader" });
    expect((await readUntilEnd(reader)).text).toBe("XXXXXhello, world!!!");
    expect(await rejection(reader.seek(101n))).toMatchObject({ code: "seek-requires-new-reader" });
    expect(reader.offset).toBe(120n);
  });

  it("drops what is before the offset, and stops at the fragment's end", async () => {
    const store = new FakeStore();
    store.put(URL_, Buffer.from("XXXXXhello, world!!!"));
    const plain = fragment(100n, 120n, { backingStore: "s3://store/", modTime: 1n });
    const client = new FakeReads([fixture({ fragment: plain, fragmentUrl: URL_ })], store);
    const reader = new Reader(client, { journal, offset: 100n, doNotProxy: true });
    expect(Buffer.from((await reader.read())!).toString()).toBe("XXXXXhe");
    expect(await reader.seek(2n, "current")).toBe(109n);
    expect(await reader.seek(110n)).toBe(110n);
    expect(await rejection(reader.seek(-1n, "current"))).toMatchObject({ code: "seek-requires-new-reader" });
    expect(await rejection(reader.seek(120n))).toMatchObject({ code: "seek-requires-new-reader" });
    expect(await readUntilEnd(reader)).toEqual({ text: ", world!!!", error: undefined });
  });
});

it("tells the offset of what a buffer has not given out", async () => {
  const reader = new Reader(new FakeReads([fixture({ content: "foobar\nbaz\n" })]), {
    journal,
    offset: 100n,
  });
  const buffered = new BufferedReader(reader);
  expect(Buffer.from((await buffered.readLine())!).toString()).toBe("foobar\n");
  expect(reader.adjustedOffset(buffered)).toBe(107n);
  expect(await buffered.readLine()).toEqual(Buffer.from("baz\n"));
  expect(reader.adjustedOffset(buffered)).toBe(111n);
  expect(await buffered.readLine()).toBeUndefined();
});
