import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  byteKeys,
  infinity,
  murmur3Hash64,
  PartitionedRange,
  RangeIndex,
  RangeMap,
  utf8Keys,
} from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

describe("byteKeys", () => {
  it("orders as Buffer.compare does, whatever two keys have in common", () => {
    const key = fc.uint8Array({ maxLength: 12 });
    fc.assert(
      fc.property(key, key, key, (start, a, b) => {
        expect(byteKeys.compare(a, b)).toBe(Buffer.compare(a, b));
        const [long, other] = [Buffer.concat([start, a]), Buffer.concat([start, b])];
        expect(byteKeys.compare(long, other)).toBe(Buffer.compare(long, other));
        expect(byteKeys.compare(start, long)).toBe(Buffer.compare(start, long));
        if (byteKeys.rank(long) !== byteKeys.rank(other)) {
          expect(Math.sign(byteKeys.rank(long) - byteKeys.rank(other))).toBe(Buffer.compare(long, other));
        }
      }),
      { numRuns: 3000 },
    );
  });

  it("orders the bytes of strings as utf8Keys orders the strings, and ranks them alike", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes)),
    );
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(utf8Keys.compare(a, b)).toBe(byteKeys.compare(Buffer.from(a), Buffer.from(b)));
        expect(utf8Keys.rank(a)).toBe(byteKeys.rank(Buffer.from(a)));
      }),
      { numRuns: 3000 },
    );
  });

  it("prints lower-case hexadecimal digits and reads them in either case", () => {
    expect(byteKeys.format(bytes(0, 0x0a, 0xff))).toBe("000aff");
    expect(byteKeys.format(bytes())).toBe("");
    fc.assert(
      fc.property(fc.uint8Array(), (key) => {
        expect(byteKeys.format(key)).toBe(Buffer.from(key).toString("hex"));
        expect(byteKeys.parse(byteKeys.format(key))).toEqual(key);
        expect(byteKeys.parse(byteKeys.format(key).toUpperCase())).toEqual(key);
      }),
    );
  });

  it.each(["0", "inf", "0x00", "0g", " 00", "00\n", "000", "٠٠"])("refuses the text %j", (text) => {
    expectSpaceError("invalid-point", () => byteKeys.parse(text));
  });

  it("knows bytes from what only pretends to be", () => {
    const proxy = new Proxy(bytes(1, 2), {});
    const heir = Object.create(Uint8Array.prototype);
    const impostor = { length: 1, 0: 5, [Symbol.toStringTag]: "Uint8Array" };
    for (const value of [
      proxy,
      heir,
      impostor,
      new Uint8ClampedArray(2),
      new Int8Array(2),
      new ArrayBuffer(2),
      [1],
    ]) {
      expect(byteKeys.isPoint(value)).toBe(false);
      expectSpaceError("invalid-point", () => byteKeys.point(value));
    }
    for (const value of [Buffer.from("a"), new (class extends Uint8Array {})(3), bytes()]) {
      expect(byteKeys.isPoint(value)).toBe(true);
    }
  });

  it("makes ranges with bytes of their own", () => {
    const from = bytes(1);
    const to = bytes(5);
    const mine = { from, to };
    const made = [
      byteKeys.range(from, to),
      byteKeys.intersect(mine, mine)!,
      byteKeys.subtract(mine, { from: bytes(9), to: infinity })[0]!,
      byteKeys.split(mine, [bytes(7)])[0]!,
      byteKeys.coalesce([mine])[0]!,
      new PartitionedRange(byteKeys, [mine]).get(0)!,
      new PartitionedRange(byteKeys, [mine]).overallRange,
      new RangeIndex<Uint8Array, string>(byteKeys).add(mine, "a").range,
    ];
    from[0] = 200;
    to[0] = 0;
    for (const range of made) expect(range).toEqual({ from: bytes(1), to: bytes(5) });
  });

  it("finds as before in partitions, maps and indexes when the caller writes to the bytes that it passed", () => {
    const cut = bytes(5);
    const partitions = new PartitionedRange(byteKeys, [
      { from: bytes(0), to: cut },
      { from: cut, to: infinity },
    ]);
    const map = new RangeMap<Uint8Array, string>(byteKeys);
    map.assign({ from: bytes(0), to: infinity }, "all");
    map.split(cut);
    map.assign({ from: cut, to: infinity }, "high");
    const index = new RangeIndex<Uint8Array, string>(byteKeys);
    const entry = index.add({ from: cut, to: infinity }, "high");
    cut[0] = 0;
    expect([bytes(4), bytes(5)].map((point) => partitions.find(point))).toEqual([0, 1]);
    expect([bytes(4), bytes(5)].map((point) => map.get(point))).toEqual(["all", "high"]);
    expect([bytes(4), bytes(5)].map((point) => index.at(point))).toEqual([[], ["high"]]);
    // Nor does an index lose an entry when somebody writes to the range that it gave away.
    entry.range.from[0] = 255;
    expect(index.at(bytes(6))).toEqual(["high"]);
    expect(index.delete(entry)).toBe(true);
  });

  it("has keys that are hashed as they are", () => {
    expect(murmur3Hash64(byteKeys.parse("6b65792d31"))).toBe(murmur3Hash64("key-1"));
  });
});
