import { refOf } from "@x/blob-replica";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChunkCutter, type CutChunk } from "../src/blob/chunk-cutter.js";
import { archiveReferences, decodeManifest, encodeManifest, type Manifest } from "../src/blob/manifest.js";
import { NAME, segment } from "./support/blob-world.js";

const manifests: fc.Arbitrary<Manifest> = fc
  .record({
    salt: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    nonce: fc.uint8Array({ minLength: 8, maxLength: 8 }),
    parts: fc.array(
      fc.record({
        count: fc.integer({ min: 1, max: 2 ** 31 }),
        bytes: fc.integer({ min: 48, max: 2 ** 31 }),
      }),
      { maxLength: 20 },
    ),
  })
  .map(({ salt, nonce, parts }) => {
    let next = 1;
    const chunks = parts.map(({ count, bytes }, i) => {
      const chunk = { firstSequence: next, count, bytes, ref: refOf(Buffer.from(`${i}`)) };
      next += count;
      return chunk;
    });
    return {
      name: NAME,
      salt: Buffer.from(salt),
      nonce: Buffer.from(nonce),
      lastSequence: next - 1,
      chunks,
    };
  });

describe("a manifest", () => {
  it("is read as it was written, and leads to its chunks", () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        const bytes = encodeManifest(manifest);
        expect(decodeManifest(bytes)).toEqual(manifest);
        expect(archiveReferences(bytes)).toEqual(manifest.chunks.map(({ ref }) => ({ ref, leaf: true })));
      }),
    );
  });

  it("has the bytes that version 1 has", () => {
    const manifest: Manifest = {
      name: "t/1/2_0-63",
      salt: Buffer.alloc(16, 0xaa),
      nonce: Buffer.alloc(8, 0xbb),
      lastSequence: 5,
      chunks: [{ firstSequence: 1, count: 5, bytes: 300, ref: refOf(Buffer.from("x")) }],
    };
    // Written down by hand from the table in manifest.ts; the ref is the SHA-256 of "x".
    expect(encodeManifest(manifest).toString("hex")).toBe(
      [
        "585345474c495354",
        "01000000",
        "01000000",
        "aa".repeat(16),
        "bb".repeat(8),
        "0500000000000000",
        "0a000000",
        Buffer.from("t/1/2_0-63").toString("hex"),
        "0100000000000000",
        "05000000",
        "2c010000",
        "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
      ].join(""),
    );
  });

  it("is refused when it is cut, of another version, or contradicts itself", () => {
    const good: Manifest = {
      name: NAME,
      salt: Buffer.alloc(16),
      nonce: Buffer.alloc(8),
      lastSequence: 9,
      chunks: [
        { firstSequence: 1, count: 4, bytes: 300, ref: refOf(Buffer.from("x")) },
        { firstSequence: 5, count: 5, bytes: 300, ref: refOf(Buffer.from("y")) },
      ],
    };
    const bytes = encodeManifest(good);
    const wrong: Record<string, Buffer> = {
      "no manifest": Buffer.from("hello"),
      cut: bytes.subarray(0, bytes.length - 1),
      longer: Buffer.concat([bytes, Buffer.alloc(48)]),
      "version 2": Buffer.from(bytes).fill(2, 8, 9),
      "a gap": encodeManifest({ ...good, chunks: [good.chunks[1]!] }),
      "another end": encodeManifest({ ...good, lastSequence: 10 }),
    };
    for (const [what, each] of Object.entries(wrong)) {
      expect(() => decodeManifest(each), what).toThrowError(expect.objectContaining({ code: "corrupt" }));
    }
    // For gc: what begins as one and can't be read stops it, and anything else refers to nothing.
    expect(() => archiveReferences(wrong["version 2"]!)).toThrowError(
      expect.objectContaining({ code: "bad-data" }),
    );
    expect(archiveReferences(Buffer.from("hello"))).toEqual([]);
  });
});

describe("cutting a segment into chunks", () => {
  function cut(lengths: readonly number[], chunkBytes: number, perPart: number): CutChunk[] {
    const draft = segment(lengths);
    const cutter = new ChunkCutter(NAME, {
      salt: Buffer.alloc(16, 7),
      lastSequence: lengths.length,
      chunkBytes,
    });
    const chunks: CutChunk[] = [];
    for (let at = 0; at < draft.frames.length; at += perPart) {
      const part = Buffer.concat(draft.frames.slice(at, at + perPart));
      for (const chunk of cutter.add(part)) chunks.push(chunk);
      // What was given is the giver's again.
      part.fill(0);
    }
    const rest = cutter.finish();
    if (rest) chunks.push(rest);
    const all = Buffer.concat(chunks.map(({ blob }) => blob.subarray(32)));
    expect(all.equals(Buffer.concat(draft.frames))).toBe(true);
    return chunks;
  }

  it("keeps every frame whole and in its place, however they come", () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 60 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 7 }), (all, perPart) => {
        let next = 1;
        for (const { blob, firstSequence, count, bytes } of cut(all, 4096, perPart)) {
          expect(firstSequence).toBe(next);
          expect(blob.length).toBe(32 + bytes);
          if (count > 1) expect(bytes).toBeLessThanOrEqual(4096);
          next += count;
        }
        expect(next).toBe(all.length + 1);
      }),
    );
  });

  it("makes larger chunks of a large segment, so that its manifest stays small", () => {
    // Each frame fills a chunk of 4,096 bytes.
    const chunks = cut(Array(10_000).fill(4_000), 4096, 100);
    const sizes = chunks.map(({ count }) => count);
    expect(sizes.slice(0, 4096)).toEqual(Array(4096).fill(1));
    expect(new Set(sizes.slice(4096, -1))).toEqual(new Set([2]));
  });
});
