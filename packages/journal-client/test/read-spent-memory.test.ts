import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CompressionCodec, FragmentReader } from "../src/index.js";
import { SpentMemory } from "../src/read/spent-memory.js";
import { unzstdByWasm } from "../src/read/zstd.js";
import { fragment, LINES, pieces, snappyFramed, zstdFrame } from "./read-support.js";

const MIB = 1024 * 1024;
/** Some MiB, no two blocks of it alike, so that content that was freed or overwritten shows. */
const CONTENT: Buffer = Buffer.concat(
  Array.from({ length: 24 }, (_, part) => Buffer.concat([Buffer.from(`part ${part}\n`), LINES])),
);
const end = BigInt(CONTENT.length);

function zstdBlocks(bytes: Uint8Array): Buffer {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += 100_000) blocks.push(bytes.subarray(at, at + 100_000));
  return zstdFrame(blocks);
}

const files: Record<"GZIP" | "SNAPPY" | "ZSTANDARD", Buffer> = {
  GZIP: gzipSync(CONTENT, { level: 1 }),
  SNAPPY: snappyFramed(CONTENT),
  ZSTANDARD: zstdBlocks(CONTENT),
};
const codecs = Object.keys(files) as (keyof typeof files)[];

function readerOf(compressionCodec: CompressionCodec, file: Uint8Array, times = 1): FragmentReader {
  return new FragmentReader(pieces(file, 200_000), fragment(0n, end * BigInt(times), { compressionCodec }));
}

describe("memory that decoders gave content in", () => {
  it("is freed once each of its bytes was used, from the first to the last", () => {
    const memory = new SpentMemory();
    const bytes = new Uint8Array(100);
    memory.used(bytes.subarray(0, 60), 40);
    memory.used(bytes.subarray(40, 60), 20);
    expect(bytes.length).toBe(100);
    memory.used(bytes.subarray(60), 40);
    expect(bytes.length).toBe(0);

    const whole = new Uint8Array(MIB);
    memory.used(whole, MIB);
    expect(whole.buffer.byteLength).toBe(0);
  });

  it("is not freed when a part of it went elsewhere, or lies in another order, or is shared", () => {
    const memory = new SpentMemory();
    const [first, middle, last, other] = Array.from({ length: 4 }, () => new Uint8Array(90));
    memory.used(first!.subarray(30), 60);

    memory.used(middle!.subarray(0, 30), 30);
    memory.used(middle!.subarray(60), 30);
    memory.used(middle!.subarray(30, 60), 30);

    memory.used(last!.subarray(0, 30), 30);
    memory.used(other!.subarray(0, 10), 10);
    memory.used(last!.subarray(30), 60);
    expect([first, middle, last, other].map((bytes) => bytes?.length)).toEqual([90, 90, 90, 90]);

    const shared = new Uint8Array(new SharedArrayBuffer(90));
    memory.used(shared, 90);
    expect(shared.length).toBe(90);
  });

  it.each(codecs)(
    "leaves what `read` gave of %s as it is, however `readInto` takes turns with it",
    async (codec) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3 * MIB })), {
            minLength: 1,
            maxLength: 8,
          }),
          fc.integer({ min: 0, max: CONTENT.length }),
          async (sizes, offset) => {
            const reader = readerOf(codec, files[codec]);
            await reader.seek(BigInt(offset));
            const parts: Uint8Array[] = [];
            for (let turn = 0; ; turn++) {
              const size = sizes[turn % sizes.length]!;
              // Parts are not copied here: whatever happens to them later would be seen.
              const target = size < 10_000 ? undefined : new Uint8Array(size);
              const part =
                target === undefined
                  ? await reader.read()
                  : target.subarray(0, await reader.readInto(target));
              if (part === undefined || part.length === 0) break;
              parts.push(part);
            }
            expect(Buffer.concat(parts).equals(CONTENT.subarray(offset))).toBe(true);
          },
        ),
        { numRuns: 15 },
      );
    },
  );

  it.each(codecs)("does not pile up while %s is read into one target, or skipped", async (codec) => {
    // As a file of many members, streams or frames, whose memory would come to 80 MiB.
    const times = Math.ceil((80 * MIB) / CONTENT.length);
    const file = Buffer.concat(Array.from({ length: times }, () => files[codec]));
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const look = (): void => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    };
    const reader = readerOf(codec, file, times);
    const half = (end * BigInt(times)) / 2n;
    for (let at = 0n; at < half; at += BigInt(MIB)) {
      await reader.seek(at);
      look();
    }
    const target = new Uint8Array(MIB / 2);
    while ((await reader.readInto(target)) > 0) look();
    expect(reader.offset).toBe(reader.fragment.end);
    expect(most).toBeLessThan(16 * MIB);
  });

  it("is never touched again by the WebAssembly decoder, which Node 20 has for ZSTANDARD", async () => {
    const memory = new SpentMemory();
    const parts: Buffer[] = [];
    for await (const chunk of unzstdByWasm(pieces(files.ZSTANDARD, 65_536))) {
      parts.push(Buffer.from(chunk));
      memory.used(chunk, chunk.length);
      expect(chunk.length).toBe(0);
    }
    expect(Buffer.concat(parts).equals(CONTENT)).toBe(true);
  });
});
