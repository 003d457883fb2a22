import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type ByteStream,
  type FragmentTransport,
  fileTransport,
  OffsetJumpError,
  openFragmentUrl,
  Reader,
  RetryReader,
} from "../src/index.js";
import { nodeFiles } from "../src/read/node-files.js";
import { HastyClock, middling, unavailable } from "./append-support.js";
import {
  content,
  FakeReads,
  FakeStore,
  fixture,
  fragment,
  journal,
  LINES,
  metadata,
  pieces,
  rejection,
  snappyFramed,
} from "./read-support.js";

/** Reads with these sizes of targets in turn, 0 being a `read`; what is in a target behind what was read must stay as it was. */
async function readInTurn(reader: ByteStream, sizes: readonly number[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let turn = 0; ; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    if (size === 0) {
      const chunk = await reader.read();
      if (chunk === undefined) return Buffer.concat(parts);
      parts.push(Buffer.from(chunk));
      continue;
    }
    const target = Buffer.alloc(size, 0xee);
    const count = await reader.readInto(target);
    if (count === 0) return Buffer.concat(parts);
    expect(target.subarray(count).every((byte) => byte === 0xee)).toBe(true);
    parts.push(target.subarray(0, count));
  }
}

const sizesInTurn = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 100_000 })), {
  minLength: 1,
  maxLength: 6,
});

describe("reading into memory of the caller", () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "x-read-into-"));
    await writeFile(join(root, "NONE"), LINES);
    await writeFile(join(root, "GZIP"), gzipSync(LINES));
    await writeFile(join(root, "SNAPPY"), snappyFramed(LINES));
  });
  afterAll(() => rm(root, { recursive: true }));

  const whole = fragment(0n, BigInt(LINES.length));

  it.each(["NONE", "GZIP", "SNAPPY"] as const)(
    "gives the content of a file of %s, with targets of any size, in turn with chunks, from any offset",
    async (compressionCodec) => {
      await fc.assert(
        fc.asyncProperty(sizesInTurn, fc.integer({ min: 0, max: LINES.length }), async (sizes, offset) => {
          const reader = await openFragmentUrl(fileTransport(root), {
            fragment: { ...whole, compressionCodec },
            url: `file:///${compressionCodec}`,
            offset: BigInt(offset),
          });
          expect(reader.offset).toBe(BigInt(offset));
          const got = await readInTurn(reader, [...sizes, 50_000]);
          expect(got.equals(LINES.subarray(offset))).toBe(true);
          expect(reader.offset).toBe(whole.end);
        }),
        { numRuns: 20 },
      );
    },
  );

  it("puts what a file has straight into the target, and makes no chunk of it", async () => {
    const reads: Uint8Array[] = [];
    const transport = fileTransport(root, {
      files: {
        ...nodeFiles,
        async open(file) {
          const opened = await nodeFiles.open(file);
          if (opened === undefined) return undefined;
          const read = (buffer: Uint8Array): Promise<number> => {
            reads.push(buffer);
            return opened.read(buffer);
          };
          return { read, close: () => opened.close() };
        },
      },
    });
    const client = new FakeReads([fixture({ fragment: whole, fragmentUrl: "file:///NONE" })], transport);
    const reader = new RetryReader(client, { journal, endOffset: whole.end, doNotProxy: true });
    const target = Buffer.alloc(1000);
    let total = 0;
    for (;;) {
      const count = await reader.readInto(target);
      if (count === 0) break;
      expect(target.subarray(0, count).equals(LINES.subarray(total, total + count))).toBe(true);
      total += count;
    }
    expect(total).toBe(LINES.length);
    expect(reads.length).toBeGreaterThan(LINES.length / 1000 - 1);
    expect(reads.every((buffer) => buffer === target)).toBe(true);
  });

  it("fails as `read` does for a file that is too short or too long, and gives nothing of what is behind", async () => {
    const length = whole.end;
    const open = (end: bigint): ReturnType<typeof openFragmentUrl> =>
      openFragmentUrl(fileTransport(root), { fragment: { ...whole, end }, url: "file:///NONE" });
    const target = Buffer.alloc(LINES.length + 100);
    for (const missing of [1n, 50n]) {
      const short = await open(length + missing);
      expect(await short.readInto(target)).toBe(LINES.length);
      expect(await rejection(short.readInto(target))).toMatchObject({ code: "unexpected-eof" });
      const long = await open(length - missing);
      expect(await long.readInto(target)).toBe(LINES.length - Number(missing));
      expect(long.offset).toBe(length - missing);
      expect(await rejection(long.readInto(target))).toMatchObject({ code: "did-not-read-expected-eof" });
    }
    const exact = await open(length - 50n);
    expect(await exact.readInto(target.subarray(0, LINES.length - 50))).toBe(LINES.length - 50);
    expect(await rejection(exact.readInto(target))).toMatchObject({ code: "did-not-read-expected-eof" });
  });

  it("does not settle before the file has let go of the target, and then with the signal's reason", async () => {
    let answer: () => void = () => {};
    let begun: () => void = () => {};
    const hasBegun = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const transport = fileTransport(root, {
      files: {
        ...nodeFiles,
        open: async () => ({
          read: (buffer) =>
            new Promise<number>((resolve) => {
              begun();
              answer = () => resolve(buffer.fill(1).length);
            }),
          close: async () => {},
        }),
      },
    });
    const controller = new AbortController();
    const { signal } = controller;
    const reader = await openFragmentUrl(transport, { fragment: whole, url: "file:///NONE", signal });
    let settled = false;
    const reading = rejection(reader.readInto(Buffer.alloc(10))).finally(() => {
      settled = true;
    });
    await hasBegun;
    const reason = new Error("enough");
    controller.abort(reason);
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(false);
    answer();
    expect(await reading).toBe(reason);
  });

  it("gives a broker's chunks in parts when they do not fit, and tells the offset of what was given", async () => {
    const client = new FakeReads([fixture({ content: "foobar bazbing" })]);
    const reader = new Reader(client, { journal, offset: 100n });
    const target = Buffer.alloc(5);
    const got: [string, bigint][] = [];
    for (;;) {
      const count = await reader.readInto(target);
      if (count === 0) break;
      got.push([target.subarray(0, count).toString(), reader.offset]);
    }
    expect(got).toEqual([
      ["fooba", 105n],
      ["r ", 107n],
      ["bazbi", 112n],
      ["ng", 114n],
    ]);
    expect(reader.request).toEqual({ journal, offset: 114n });
  });

  it("ends at endOffset, also within a chunk that does not fit", async () => {
    for (const endOffset of [103n, 107n, 109n]) {
      const reader = new Reader(new FakeReads([fixture({ content: "foobar bazbing" })]), {
        journal,
        offset: 100n,
        endOffset,
      });
      const expected = "foobar bazbing".slice(0, Number(endOffset) - 100);
      expect((await readInTurn(reader, [2])).toString()).toBe(expected);
      expect(reader.offset).toBe(endOffset);
      expect(await reader.read()).toBeUndefined();
    }
  });

  it("tells a jump once, and loses nothing that came with it", async () => {
    const client = new FakeReads([
      async function* () {
        yield metadata(0n);
        yield content(0n, "foo");
        yield content(10n, "barbaz");
      },
    ]);
    const reader = new Reader(client, { journal });
    const target = Buffer.alloc(4);
    expect(await reader.readInto(target)).toBe(3);
    expect(await rejection(reader.readInto(target))).toBeInstanceOf(OffsetJumpError);
    expect(reader.offset).toBe(10n);
    expect(await reader.readInto(target)).toBe(4);
    expect([target.toString(), reader.offset]).toEqual(["barb", 14n]);
    expect(Buffer.from((await reader.read()) ?? []).toString()).toBe("az");
  });

  it("goes on where it was after a failure, a seek and a restart, whatever did not fit", async () => {
    const client = new FakeReads([
      fixture({ content: "foobar", error: unavailable() }),
      fixture({ content: "baz" }),
      fixture({ content: "sought" }),
      fixture({ content: "again!" }),
    ]);
    const reader = new RetryReader(
      client,
      { journal, offset: 100n },
      { clock: new HastyClock(), random: middling },
    );
    const target = Buffer.alloc(2);
    const next = async (): Promise<string> => target.subarray(0, await reader.readInto(target)).toString();
    expect([await next(), await next(), await next(), await next(), await next()]).toEqual([
      "fo",
      "o",
      "ba",
      "r",
      "b",
    ]);
    expect(client.requests[1]).toMatchObject({ offset: 106n });
    expect(await next()).toBe("az");
    expect(await reader.seek(200n)).toBe(200n);
    expect([await next(), reader.offset]).toEqual(["so", 202n]);
    // A byte of what the broker gave is still held.
    reader.restart(reader.request);
    expect(client.requests[2]).toMatchObject({ offset: 200n });
    expect([await next(), reader.offset]).toEqual(["ag", 204n]);
    expect(client.requests[3]).toMatchObject({ offset: 202n });
    await reader.close();
    expect(await rejection(reader.readInto(target))).toMatchObject({ code: "closed" });
    expect(client.open).toBe(0);
  });

  it("takes a transport that has only an iteration, and one that ends it when it is left", async () => {
    const store = new FakeStore();
    const url = "https://store/f";
    store.put(url, { body: pieces(LINES, 4096) });
    const reader = await openFragmentUrl(store as FragmentTransport, { fragment: whole, url });
    expect((await readInTurn(reader, [1, 5000, 0, 4096])).equals(LINES)).toBe(true);
    expect(store.open).toBe(0);
  });

  it("refuses a target without room", async () => {
    const reader = new RetryReader(new FakeReads([]), { journal });
    for (const wrong of [new Uint8Array(0), undefined, new ArrayBuffer(8), "target"]) {
      expect(await rejection(reader.readInto(wrong as Uint8Array))).toMatchObject({
        code: "invalid-argument",
        message: expect.stringContaining("room for one byte"),
      });
    }
  });
});
