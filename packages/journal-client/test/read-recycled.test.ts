import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FragmentBody } from "../src/client/routed-journal-client.js";
import { BufferedReader } from "../src/index.js";
import { decoderOf } from "../src/read/codecs.js";
import { recycled } from "../src/read/recycled.js";
import { unzstdByWasm } from "../src/read/zstd.js";
import { pieces, rejection, snappyFramed, zstdFrame } from "./read-support.js";

const BUFFER_BYTES = 512 * 1024;
/** Does not compress, so that its blocks lie across every end of a buffer. */
const NOISE: Buffer = randomBytes(4 * 1024 * 1024 + 12_345);

/** A file that is read into memory, so many bytes at a time at most; it fails where it is told to. */
class TestFile implements FragmentBody {
  readonly targets: Uint8Array[] = [];
  given = 0;
  left = 0;
  readonly readInto: (target: Uint8Array) => Promise<number>;

  constructor(
    bytes: Uint8Array,
    { most = Number.POSITIVE_INFINITY, failAt = Number.POSITIVE_INFINITY } = {},
  ) {
    this.readInto = async (target) => {
      this.targets.push(target);
      await undefined;
      if (this.given >= failAt) throw new Error("the disk is gone");
      const part = bytes.subarray(this.given, this.given + Math.min(most, target.length));
      target.set(part);
      this.given += part.length;
      return part.length;
    };
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: () => Promise.reject(new Error("it is read into memory")),
      return: async () => {
        this.left++;
        return { done: true, value: undefined };
      },
    };
  }
}

describe("a file in buffers that are used again", () => {
  it("is whole and in order, however little its reads give, in three buffers, and is left at its end", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, 3 * BUFFER_BYTES, NOISE.length),
        fc.integer({ min: 30_000, max: 2 * BUFFER_BYTES }),
        async (length, most) => {
          const file = new TestFile(NOISE.subarray(0, length), { most });
          const lengths: number[] = [];
          const parts: Buffer[] = [];
          for await (const chunk of recycled(file)) {
            lengths.push(chunk.length);
            parts.push(Buffer.from(chunk));
          }
          expect(Buffer.concat(parts).equals(NOISE.subarray(0, length))).toBe(true);
          expect(lengths.slice(0, -1).every((bytes) => bytes === BUFFER_BYTES)).toBe(true);
          expect(new Set(file.targets.map(({ buffer }) => buffer)).size).toBeLessThanOrEqual(3);
          expect(file.left).toBe(1);
        },
      ),
      { numRuns: 20 },
    );
  });

  it("keeps a chunk as it is until the next but one is asked for, and reads one ahead", async () => {
    const file = new TestFile(NOISE);
    const chunks = recycled(file)[Symbol.asyncIterator]();
    let before: Uint8Array = Buffer.alloc(0);
    for (let at = 0; at < 6; at++) {
      const next = await chunks.next();
      if (next.done === true) expect.fail("it ended");
      await new Promise((resolve) => setImmediate(resolve));
      const end = (at + 1) * BUFFER_BYTES;
      expect(NOISE.subarray(end - BUFFER_BYTES, end).equals(next.value)).toBe(true);
      expect(NOISE.subarray(end - BUFFER_BYTES - before.length, end - BUFFER_BYTES).equals(before)).toBe(
        true,
      );
      expect(file.given).toBe(end + BUFFER_BYTES);
      before = next.value;
    }
    await chunks.return?.();
    expect(file.left).toBeGreaterThan(0);
  });

  it("gives what was read before a failure, then that, and leaves the file", async () => {
    const file = new TestFile(NOISE, { failAt: 2 * BUFFER_BYTES });
    let length = 0;
    const failure = rejection(
      (async () => {
        for await (const chunk of recycled(file)) length += chunk.length;
      })(),
    );
    expect(await failure).toMatchObject({ message: "the disk is gone" });
    expect(length).toBe(2 * BUFFER_BYTES);
    expect(file.left).toBeGreaterThan(0);
  });

  it("leaves the file also when it is left before it was begun", async () => {
    const file = new TestFile(NOISE);
    await recycled(file)[Symbol.asyncIterator]().return?.();
    expect([file.left, file.given]).toEqual([1, 0]);
  });

  it("is the file itself where that cannot be read into memory", () => {
    const file = pieces(NOISE, 1000);
    expect(recycled(file)).toBe(file);
  });
});

describe.each([
  ["GZIP", decoderOf("GZIP"), () => gzipSync(NOISE)],
  ["SNAPPY", decoderOf("SNAPPY"), () => snappyFramed(NOISE)],
  ["ZSTANDARD", decoderOf("ZSTANDARD"), () => zstdFrame(blocks())],
  [
    "ZSTANDARD in WebAssembly",
    (file: FragmentBody) => unzstdByWasm(recycled(file)),
    () => zstdFrame(blocks()),
  ],
  // What was stored compressed once more.
  ["SNAPPY with a Content-Encoding", decoderOf("SNAPPY", "gzip"), () => gzipSync(snappyFramed(NOISE))],
])("content of %s out of such buffers", (_name, decoder, make) => {
  it("is right, and each chunk of it stays as it is when all else was read", async () => {
    const file = new TestFile(make(), { most: 300_000 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of decoder(file)) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(NOISE)).toBe(true);
    const theirs = new Set(file.targets.map(({ buffer }) => buffer));
    expect(chunks.some(({ buffer }) => theirs.has(buffer))).toBe(false);
    expect(file.left).toBeGreaterThan(0);
  });
});

function blocks(): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < NOISE.length; at += 100_000) parts.push(NOISE.subarray(at, at + 100_000));
  return parts;
}

it("peeks at what is buffered without asking the source, also across chunks", async () => {
  let asked = 0;
  const texts = ["abc", "def", "ghi"];
  const reader = new BufferedReader({
    read: async () => {
      const text = texts[asked++];
      return text === undefined ? undefined : Buffer.from(text);
    },
  });
  expect(reader.peekBuffered(1)).toBeUndefined();
  expect(Buffer.from(reader.peekBuffered(0) ?? [1]).toString()).toBe("");
  await reader.peek(5);
  expect(asked).toBe(2);
  expect(Buffer.from(reader.peekBuffered(6) ?? []).toString()).toBe("abcdef");
  expect(reader.peekBuffered(7)).toBeUndefined();
  expect([asked, reader.buffered]).toEqual([2, 6]);
  reader.discard(4);
  expect(Buffer.from(reader.peekBuffered(2) ?? []).toString()).toBe("ef");
  expect(() => reader.peekBuffered(-1)).toThrow(/whole number/);
});
