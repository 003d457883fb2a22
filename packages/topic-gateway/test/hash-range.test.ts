import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkRangeSizeFactor,
  formatHashRange,
  HASHES,
  type HashRange,
  hashRangeFromWire,
  inRange,
  parseHashRange,
  rangeOfHash,
  rangesOfFactor,
  rangesOverlap,
  sameRange,
} from "../src/protocol.js";

const factor = fc.integer({ min: 6, max: 16 });
const hash = fc.integer({ min: 0, max: HASHES - 1 });
const range: fc.Arbitrary<HashRange> = fc
  .tuple(hash, hash)
  .map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) + 1 }));

describe("the ranges of a topic", () => {
  it("are 1,024 at the smallest factor and one at the largest", () => {
    expect(rangesOfFactor(6)).toHaveLength(1024);
    expect(rangesOfFactor(16)).toEqual([{ from: 0, to: 65536 }]);
    expect(rangesOfFactor(15)).toEqual([
      { from: 0, to: 32768 },
      { from: 32768, to: 65536 },
    ]);
  });

  it("cover every hash exactly once, in order, at every factor", () => {
    for (let f = 6; f <= 16; f++) {
      let next = 0;
      for (const { from, to } of rangesOfFactor(f)) {
        expect(from).toBe(next);
        expect(to - from).toBe(2 ** f);
        next = to;
      }
      expect(next).toBe(HASHES);
    }
  });

  it("are found by hash", () => {
    fc.assert(
      fc.property(factor, hash, (f, h) => {
        const found = rangesOfFactor(f).filter((candidate) => inRange(h, candidate));
        expect(found).toEqual([rangeOfHash(h, f)]);
      }),
    );
  });

  it("have a factor from 6 to 16", () => {
    for (let f = 6; f <= 16; f++) expect(checkRangeSizeFactor(f)).toBe(f);
    for (const f of [5, 17, 6.5, -6, 0, Number.NaN, Number.POSITIVE_INFINITY, "6" as unknown as number]) {
      expect(() => checkRangeSizeFactor(f)).toThrow(expect.objectContaining({ code: "invalid-range-size" }));
      expect(() => rangesOfFactor(f)).toThrow(expect.objectContaining({ code: "invalid-range-size" }));
    }
  });
});

describe("a hash range", () => {
  it("is inclusive in text and on the wire, half-open in code", () => {
    expect(formatHashRange({ from: 0, to: 64 })).toBe("0-63");
    expect(formatHashRange({ from: 0, to: 65536 })).toBe("0-65535");
    expect(parseHashRange("64-127")).toEqual({ from: 64, to: 128 });
    expect(parseHashRange("65535-65535")).toEqual({ from: 65535, to: 65536 });
    expect(hashRangeFromWire(0, 65535)).toEqual({ from: 0, to: 65536 });
  });

  it("comes back as it was", () => {
    fc.assert(
      fc.property(range, (r) => {
        expect(parseHashRange(formatHashRange(r))).toEqual(r);
        expect(hashRangeFromWire(r.from, r.to - 1)).toEqual(r);
      }),
    );
  });

  it("has one spelling only", () => {
    const wrong = [
      "",
      "-",
      "0",
      "0-",
      "-63",
      "63-0",
      "0-65536",
      "00-63",
      "0-063",
      "+0-63",
      "0 -63",
      "0-63\n",
    ];
    for (const text of [...wrong, "0x0-63", "1e1-63", "0-63-64", "a-b", "0–63"]) {
      expect(() => parseHashRange(text), JSON.stringify(text)).toThrow(
        expect.objectContaining({ code: "invalid-hash-range" }),
      );
    }
  });

  it("on the wire has bounds that are hashes, in order", () => {
    for (const [from, last] of [
      [1, 0],
      [-1, 5],
      [0, 65536],
      [0.5, 5],
      [0, Number.NaN],
      [4294967295, 4294967295],
    ] as const) {
      expect(() => hashRangeFromWire(from, last)).toThrow(
        expect.objectContaining({ code: "invalid-hash-range" }),
      );
    }
  });

  it("overlaps another if some hash is in both, and is the same if all are", () => {
    const small = fc
      .tuple(fc.nat(12), fc.nat(12))
      .map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) + 1 }));
    fc.assert(
      fc.property(small, small, (a, b) => {
        const hashes = Array.from({ length: 14 }, (_, h) => h);
        expect(rangesOverlap(a, b)).toBe(hashes.some((h) => inRange(h, a) && inRange(h, b)));
        expect(rangesOverlap(b, a)).toBe(rangesOverlap(a, b));
        expect(sameRange(a, b)).toBe(hashes.every((h) => inRange(h, a) === inRange(h, b)));
      }),
    );
  });
});
