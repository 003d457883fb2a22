import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { unsnappy } from "../src/read/snappy.js";
import { all, LINES, pieces, rejection, snappyFramed } from "./read-support.js";

const BLOCK_BYTES = 65_536;
/** Blocks that compress well, not so well, and not at all; every third is stored. */
const CONTENT: Buffer = Buffer.concat([
  LINES,
  Buffer.from(randomBytes(400_000).toString("hex")),
  randomBytes(300_000),
  LINES,
  LINES,
]);

/** All in one. */
const whole = (file: Uint8Array): AsyncGenerator<Uint8Array, void, void> => pieces(file, file.length);

/** A frame that is skipped. */
function padding(length: number): Buffer {
  const frame = Buffer.alloc(4 + length, 0xaa);
  frame.writeUInt8(0xfe, 0);
  frame.writeUIntLE(length, 1, 3);
  return frame;
}

/** Compressed blocks of `LINES`, without the stream identifier. */
const BLOCKS: readonly Buffer[] = Array.from({ length: 20 }, (_, at) => {
  const file = snappyFramed(LINES.subarray(at * 1000, at * 1000 + BLOCK_BYTES));
  return file.subarray(10);
});
const IDENTIFIER = snappyFramed(new Uint8Array(0));
const contentOfBlock = (at: number): Buffer => LINES.subarray(at * 1000, at * 1000 + BLOCK_BYTES);

/** Gives the file in chunks that are spoilt as soon as `recycled` might read into them again. */
async function* spoiling(file: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, void> {
  const given: Buffer[] = [];
  for (let at = 0; at < file.length; at += size) {
    given.at(-2)?.fill(0x55);
    const chunk = Buffer.from(file.subarray(at, at + size));
    given.push(chunk);
    yield chunk;
  }
  given.at(-2)?.fill(0x55);
}

describe("SNAPPY out of memory that is used again", () => {
  it("gives its content, whatever of a block lies at the end of a chunk", async () => {
    const framed = snappyFramed(CONTENT);
    const size = 100_000;
    /** Where the blocks begin, in the file without padding. */
    const begins: number[] = [];
    for (let at = 10; at < framed.length; at += 4 + framed.readUIntLE(at + 1, 3)) begins.push(at);
    for (const begin of [begins[1]!, begins[9]!, begins.at(-2)!]) {
      for (let cut = -2; cut <= 14; cut++) {
        // So that the first `cut` bytes of that block are the last of a chunk.
        const pad = (((size - begin - 4 - cut) % size) + size) % size;
        const file = Buffer.concat([IDENTIFIER, padding(pad), framed.subarray(10)]);
        expect((begin + 4 + pad + cut) % size).toBe(0);
        expect((await all(unsnappy(spoiling(file, size)))).equals(CONTENT), `${begin} ${cut}`).toBe(true);
      }
    }
  });

  it("gives its content in chunks of any size that holds a block", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 80_000, max: 600_000 }),
        fc.integer({ min: 0, max: 200_000 }),
        async (size, pad) => {
          const framed = snappyFramed(CONTENT);
          const file = Buffer.concat([framed, padding(pad), framed]);
          const got = await all(unsnappy(spoiling(file, size)));
          expect(got.equals(Buffer.concat([CONTENT, CONTENT]))).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("SNAPPY that is corrupt", () => {
  const spoilt: readonly (readonly [string, RegExp, (block: Buffer) => void])[] = [
    [
      "another checksum",
      /a block's checksum is another/,
      (block) => void block.writeUInt8(block.readUInt8(5) ^ 1, 5),
    ],
    ["what does not decompress", /a block does not decompress/, (block) => void block.fill(0xff, 11)],
    // 65,537 and 65,535 bytes.
    [
      "a length that is not allowed",
      /more than 65536 bytes of content/,
      (block) => void block.set([0x81, 0x80, 0x04], 8),
    ],
    [
      "a length that is another",
      /does not decompress|not as long as it says/,
      (block) => void block.set([0xff, 0xff, 0x03], 8),
    ],
    ["a length that no block has", /a block has 16777215 bytes/, (block) => void block.fill(0xff, 1, 4)],
    ["an unknown type", /unknown type 2/, (block) => void block.writeUInt8(2, 0)],
  ];

  it.each(spoilt)(
    "gives all content before a block with %s, and nothing behind it",
    async (_name, message, spoil) => {
      for (let bad = 0; bad < 20; bad++) {
        const blocks = BLOCKS.map((block) => Buffer.from(block));
        spoil(blocks[bad]!);
        // One more behind it is bad in another way: only the first is told.
        blocks[bad + 1]?.fill(0xff, 11);
        const given: Uint8Array[] = [];
        const failure = await rejection(
          (async () => {
            for await (const chunk of unsnappy(whole(Buffer.concat([IDENTIFIER, ...blocks]))))
              given.push(chunk);
          })(),
        );
        expect.soft(failure, `${bad}`).toMatchObject({ code: "fragment-corrupt" });
        expect.soft(failure, `${bad}`).toMatchObject({ message: expect.stringMatching(message) });
        const expected = Array.from({ length: bad }, (_, at) => contentOfBlock(at));
        expect(Buffer.concat(given).equals(Buffer.concat(expected)), `${bad}`).toBe(true);
      }
    },
  );

  it("gives all content before the end of a file that is too short", async () => {
    const file = Buffer.concat([IDENTIFIER, ...BLOCKS]);
    const given: Uint8Array[] = [];
    const failure = await rejection(
      (async () => {
        for await (const chunk of unsnappy(whole(file.subarray(0, -1)))) given.push(chunk);
      })(),
    );
    expect(failure).toMatchObject({ code: "unexpected-eof" });
    expect(Buffer.concat(given).length).toBe(19 * BLOCK_BYTES);
  });
});
