import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  continueChain,
  encodeHeaderFrame,
  encodeMessageFrames,
  FRAME_HEADER_BYTES,
  type Frame,
  type FrameChain,
  findProofOfDamage,
  frameLinks,
  MAX_FRAME_BYTES,
  messagesInFrames,
  NONCE_BYTES,
  readFrame,
} from "../src/protocol.js";

const NONCE = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8]);
const START = 0x1b21dd213814000n;

interface Log {
  readonly bytes: Buffer;
  /** Where each message's frame starts, by sequence - 1. */
  readonly offsets: readonly number[];
  /** The first sequence of each write. */
  readonly groups: readonly number[];
}

function write(groups: readonly (readonly Uint8Array[])[], nonce: Uint8Array = NONCE): Log {
  const { frame, chain } = encodeHeaderFrame(nonce, START, Buffer.from("header"));
  const parts = [frame];
  const offsets: number[] = [];
  const firsts: number[] = [];
  let at = frame.length;
  for (const bodies of groups) {
    const encoded = encodeMessageFrames(chain, bodies, chain.lastTime + 1n);
    firsts.push(encoded.run.sequence);
    offsets.push(...encoded.offsets.map((offset) => at + offset));
    parts.push(encoded.bytes);
    at += encoded.bytes.length;
  }
  return { bytes: Buffer.concat(parts), offsets, groups: firsts };
}

/** Follows the chain from the first byte. `end` is where it breaks. */
function follow(
  bytes: Buffer,
  nonce: Uint8Array = NONCE,
): { frames: Frame[]; end: number; chain: FrameChain } {
  const chain: FrameChain = { nonce, checksum: 0, lastSequence: 0, lastTime: 0n };
  const frames: Frame[] = [];
  let at = 0;
  while (at < bytes.length) {
    const frame = readFrame(bytes, at);
    if (typeof frame === "string" || !continueChain(chain, bytes, at, frame)) break;
    frames.push(frame);
    at = frame.next;
  }
  return { frames, end: at, chain };
}

const body = fc.uint8Array({ maxLength: 60 });
const someGroups = fc.array(fc.array(body, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 5 });

describe("frames", () => {
  // Goldens: made once with Python's struct and zlib.crc32 from the table in frame.ts.
  it("have the bytes that their description says", () => {
    const { frame, chain } = encodeHeaderFrame(NONCE, START, Buffer.from('{"topic":"orders"}'));
    expect(frame.toString("hex")).toBe(
      "42000000c1e61646000000000101000001020304050607080000000000000000000000000000000000408113d21db201" +
        "7b22746f706963223a226f7264657273227d",
    );
    const two = encodeMessageFrames(chain, [Buffer.from("one"), Buffer.alloc(0)], START + 1n);
    expect(two.bytes.toString("hex")).toBe(
      "330000009e713990c1e616460201000001020304050607080100000000000000010000000000000001408113d21db201" +
        "6f6e65" +
        "30000000bf10a7e29e7139900201000001020304050607080200000000000000010000000000000002408113d21db201",
    );
    expect(two.run).toEqual({ time: START + 1n, sequence: 1, count: 2 });
    expect(two.offsets).toEqual([0, 51]);
    const three = encodeMessageFrames(chain, [Buffer.from("three")], START + 3n);
    expect(three.bytes.toString("hex")).toBe(
      "350000005599a75dbf10a7e20201000001020304050607080300000000000000030000000000000003408113d21db201" +
        "7468726565",
    );
    expect(chain).toEqual({
      nonce: Uint8Array.from(NONCE),
      checksum: 0x5da79955,
      lastSequence: 3,
      lastTime: START + 3n,
    });
  });

  it("are read as they were written, each from where it starts", () => {
    fc.assert(
      fc.property(someGroups, (groups) => {
        const { bytes, offsets, groups: firsts } = write(groups);
        const { frames, end, chain } = follow(bytes);
        expect(end).toBe(bytes.length);
        expect(frames.map(({ kind }) => kind)).toEqual(["header", ...groups.flat().map(() => "message")]);
        let sequence = 0;
        for (const [g, bodies] of groups.entries()) {
          for (const data of bodies) {
            const frame = readFrame(bytes, offsets[sequence] as number) as Frame;
            sequence += 1;
            expect(frame).toMatchObject({ sequence, group: firsts[g], time: START + BigInt(sequence) });
            expect(frame.body.equals(data)).toBe(true);
          }
        }
        expect(chain).toMatchObject({ lastSequence: sequence, lastTime: START + BigInt(sequence) });
        const messages = [...messagesInFrames(bytes)].map((frame) => frame.sequence);
        expect(messages).toEqual(Array.from({ length: sequence }, (_, i) => i + 1));
      }),
    );
  });

  it("count beyond 32 bits", () => {
    const chain: FrameChain = { nonce: NONCE, checksum: 1, lastSequence: 2 ** 40 - 3, lastTime: START };
    const { bytes, offsets } = encodeMessageFrames(chain, [Buffer.alloc(0), Buffer.alloc(0)], START);
    expect(readFrame(bytes, offsets[1] as number)).toMatchObject({
      sequence: 2 ** 40 - 1,
      group: 2 ** 40 - 2,
    });
  });

  it("of no messages are no bytes, and leave the chain where it was", () => {
    const { chain } = encodeHeaderFrame(NONCE, START, Buffer.alloc(0));
    const before = { ...chain };
    expect(encodeMessageFrames(chain, [], START + 5n).bytes).toHaveLength(0);
    expect(chain).toEqual(before);
  });
});

describe("reading a frame", () => {
  it("notices every bit that flips, and the chain breaks exactly there", () => {
    fc.assert(
      fc.property(someGroups, fc.nat(), fc.nat(7), (groups, where, bit) => {
        const { bytes, offsets } = write(groups);
        const position = where % bytes.length;
        bytes[position] = (bytes[position] as number) ^ (1 << bit);
        const damaged = [0, ...offsets].findLast((offset) => offset <= position);
        expect(follow(bytes).end).toBe(damaged);
      }),
      { numRuns: 1000 },
    );
  });

  it("says that bytes are missing, or that they are no frame, and never throws", () => {
    const { bytes } = write([[Buffer.from("one")]]);
    const first = (readFrame(bytes, 0) as Frame).next;
    for (let length = 0; length < first; length++)
      expect(readFrame(bytes.subarray(0, length), 0)).toBe("short");
    expect(readFrame(Buffer.alloc(1000), 0)).toBe("invalid");
    expect(readFrame(Buffer.alloc(1000, 255), 0)).toBe("invalid");
    for (const [size, expected] of [
      [FRAME_HEADER_BYTES - 1, "invalid"],
      [FRAME_HEADER_BYTES, "invalid"],
      [MAX_FRAME_BYTES, "short"],
      [MAX_FRAME_BYTES + 1, "invalid"],
    ] as const) {
      const space = Buffer.alloc(100);
      space.writeUInt32LE(size);
      expect(readFrame(space, 0)).toBe(expected);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(250), (random, at) => {
        expect(["short", "invalid"]).toContain(readFrame(Buffer.from(random), at));
      }),
    );
  });

  it("does not connect a frame to a chain that it does not continue", () => {
    const one = write([[Buffer.from("a")], [Buffer.from("b")], [Buffer.from("c")]]);
    const other = write([[Buffer.from("x")], [Buffer.from("b")]]);
    const another = write([[Buffer.from("a")]], Buffer.alloc(8, 9));
    const cases: Readonly<Record<string, Buffer>> = {
      "after a frame that was left out": Buffer.concat([
        one.bytes.subarray(0, one.offsets[1]),
        one.bytes.subarray(one.offsets[2]),
      ]),
      twice: Buffer.concat([one.bytes.subarray(0, one.offsets[1]), one.bytes.subarray(one.offsets[0])]),
      "after another message": Buffer.concat([
        one.bytes.subarray(0, one.offsets[1]),
        other.bytes.subarray(other.offsets[1]),
      ]),
      "of another log": Buffer.concat([
        one.bytes.subarray(0, one.offsets[1]),
        another.bytes.subarray(another.offsets[0]),
      ]),
    };
    for (const [what, bytes] of Object.entries(cases)) {
      const { end, chain } = follow(bytes);
      expect(end, what).toBe(one.offsets[1]);
      expect(chain.lastSequence, what).toBe(1);
    }
    expect(follow(one.bytes, Buffer.alloc(8, 9)).end).toBe(0);
  });

  it("gives the links of a frame", () => {
    const { bytes, offsets } = write([[Buffer.from("a"), Buffer.from("b")]]);
    const [first, second] = offsets.map((offset) => frameLinks(bytes, offset));
    expect(second?.previous).toBe(first?.checksum);
    expect(first?.nonce).toEqual(NONCE);
    expect(NONCE_BYTES).toBe(NONCE.length);
  });

  it("reports delivered bytes that are not whole frames as damaged", () => {
    const { bytes, offsets } = write([[Buffer.from("a"), Buffer.from("b")]]);
    const delivered = bytes.subarray(offsets[0]);
    for (const wrong of [delivered.subarray(0, -1), Buffer.concat([delivered, Buffer.alloc(60)])]) {
      expect(() => [...messagesInFrames(wrong)]).toThrow(expect.objectContaining({ code: "corrupt" }));
    }
  });
});

describe("damage and torn tails", () => {
  const SECTOR = 64;

  /** What of the last write is on the disk when any of its sectors may be missing. */
  const torn = fc
    .tuple(someGroups, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }))
    .map(([groups, kept]) => {
      const { bytes, offsets, groups: firsts } = write(groups);
      const start = offsets[(firsts.at(-1) as number) - 1] as number;
      const disk = Buffer.from(bytes);
      for (let sector = Math.floor(start / SECTOR); sector * SECTOR < disk.length; sector++) {
        if (!kept[sector % kept.length])
          disk.fill(0, Math.max(start, sector * SECTOR), Math.min(disk.length, (sector + 1) * SECTOR));
      }
      return {
        disk: Buffer.concat([disk, Buffer.alloc(100)]),
        bytes,
        durable: (firsts.at(-1) as number) - 1,
        start,
      };
    });

  it("a last write that is torn in any way is cut, and never taken for damage", () => {
    fc.assert(
      fc.property(torn, ({ disk, durable, start }) => {
        const { end, chain } = follow(disk);
        expect(end).toBeGreaterThanOrEqual(start);
        expect(chain.lastSequence).toBeGreaterThanOrEqual(durable);
        expect(findProofOfDamage(disk, end, NONCE, chain.lastSequence + 1)).toBeUndefined();
      }),
      { numRuns: 1000 },
    );
  });

  it("a broken frame of an earlier write is proven by each later write of which a frame is left", () => {
    fc.assert(
      fc.property(someGroups, someGroups, fc.nat(), (before, after, where) => {
        const { bytes, offsets, groups } = write([...before, ...after]);
        const later = groups[before.length] as number;
        const from = offsets[0] as number;
        const to = offsets[later - 1] as number;
        const position = from + (where % (to - from));
        bytes[position] = (bytes[position] as number) ^ 0x40;
        const { end, chain } = follow(bytes);
        const missing = chain.lastSequence + 1;
        // The oracle: any write that begins behind what is missing shows that it had been durable.
        const expected = offsets[(groups.find((first) => first > missing) as number) - 1];
        expect(findProofOfDamage(bytes, end, NONCE, missing)).toBe(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("frames of another log prove nothing: they are what the disk held before", () => {
    const { bytes, offsets } = write([[Buffer.from("a")]]);
    const old = write([[Buffer.from("x")], [Buffer.from("y")], [Buffer.from("z")]], Buffer.alloc(8, 9));
    const disk = Buffer.concat([bytes, old.bytes]);
    expect(follow(disk).end).toBe(bytes.length);
    expect(findProofOfDamage(disk, bytes.length, NONCE, 2)).toBeUndefined();
    expect(findProofOfDamage(disk, offsets[0] as number, NONCE, 1)).toBeUndefined();
  });

  it("proof is found wherever it lies, also when bytes that look like the nonce come before", () => {
    const { bytes, offsets } = write([[Buffer.from("a")], [NONCE], [Buffer.concat([NONCE, NONCE])], [NONCE]]);
    for (const gap of [0, 1, 15, 16, 17, 1000]) {
      const filling = Buffer.concat([NONCE, NONCE, NONCE.subarray(0, 7), Buffer.alloc(gap)]);
      const disk = Buffer.concat([filling, bytes.subarray(offsets[2])]);
      expect(findProofOfDamage(disk, 0, NONCE, 1)).toBe(filling.length);
    }
  });
});
