import { runInNewContext } from "node:vm";
import fc from "fast-check";
import oracle from "murmurhash3js-revisited";
import { describe, expect, it } from "vitest";
import { hash64, murmur3Hash64, murmur3Mod, murmur3x64_128 } from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";

function hex({ h1, h2 }: { readonly h1: bigint; readonly h2: bigint }): string {
  return h1.toString(16).padStart(16, "0") + h2.toString(16).padStart(16, "0");
}

function expectLikeOracle(input: string | Uint8Array, seed?: number): void {
  const bytes = typeof input === "string" ? Buffer.from(input, "utf8") : input;
  const expected = oracle.x64.hash128(bytes, seed);
  expect(hex(murmur3x64_128(input, seed))).toBe(expected);
  if (seed === undefined) expect(murmur3Hash64(input)).toBe(BigInt(`0x${expected.slice(0, 16)}`));
}

describe("murmur3", () => {
  it.each([
    ["hello", "cbd8a7b341bd9b02"],
    ["0123456789abcdefg", "8e32612daa45f9de"],
    ["key-1", "fe328eca36176afe"],
  ])("hashes %j as StringSum64 of Go's twmb/murmur3 does", (text, h1) => {
    expect(murmur3Hash64(text).toString(16)).toBe(h1);
    expect(murmur3Hash64(Buffer.from(text))).toBe(murmur3Hash64(text));
    expect(murmur3x64_128(text).h1).toBe(murmur3Hash64(text));
  });

  it("puts key-1 at 11795 of 65535, as deployed programs do", () => {
    expect(murmur3Mod("key-1", 65535)).toBe(11795);
    expect(murmur3Mod(Buffer.from("key-1"), 65535)).toBe(11795);
  });

  it("hashes nothing to zero with seed 0", () => {
    expect(murmur3x64_128("")).toEqual({ h1: 0n, h2: 0n });
    expect(murmur3Mod(new Uint8Array(0), 65535)).toBe(0);
  });

  it("agrees with another implementation on random bytes of every length from 0 to 100, at any seed", () => {
    for (let length = 0; length <= 100; length++) {
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: length, maxLength: length }),
          fc.option(fc.integer({ min: 0, max: 0xffff_ffff }), { nil: undefined }),
          (bytes, seed) => expectLikeOracle(bytes, seed),
        ),
        { numRuns: 30 },
      );
    }
  });

  it("agrees with it on bytes that are all zero or all ones, where carries are lost first", () => {
    for (let length = 0; length <= 100; length++) {
      expectLikeOracle(new Uint8Array(length));
      expectLikeOracle(new Uint8Array(length).fill(255));
      expectLikeOracle(new Uint8Array(length).fill(255), 0xffff_ffff);
    }
  });

  it("agrees with it on strings of any characters, lone surrogates included", () => {
    const units = fc.array(
      fc.constantFrom(0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xffff),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary-ascii" }),
          fc.string({ unit: "binary" }),
          fc.string({ unit: "grapheme", maxLength: 100 }),
          units.map((codes) => String.fromCharCode(...codes)),
        ),
        (text) => expectLikeOracle(text),
      ),
      { numRuns: 2000 },
    );
  });

  it("agrees with it on strings around the length where it stops encoding in place", () => {
    for (const length of [1364, 1365, 1366, 1367, 4095, 4096, 4097, 20_000]) {
      for (const character of ["a", "é", "€", "\u{1f600}", "\ud800"]) {
        expectLikeOracle(character.repeat(length).slice(0, length));
        expectLikeOracle(`${"a".repeat(length - 1)}${character}`);
      }
    }
  });

  it("hashes the bytes of a view, not of the buffer behind it", () => {
    const buffer = Uint8Array.from({ length: 64 }, (_, index) => index);
    for (let start = 0; start < 20; start++) {
      const view = buffer.subarray(start, start + 33);
      expect(murmur3Hash64(view)).toBe(murmur3Hash64(Uint8Array.from(view)));
    }
  });

  it("hashes bytes of another realm", () => {
    const bytes = runInNewContext("Uint8Array.of(1, 2, 3)") as Uint8Array;
    expect(bytes).not.toBeInstanceOf(Uint8Array);
    expect(murmur3Hash64(bytes)).toBe(murmur3Hash64(Uint8Array.of(1, 2, 3)));
  });

  it("remembers nothing from one call to the next", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        const first = murmur3x64_128(a);
        const kept = { ...first };
        murmur3x64_128(b, 7);
        expect(first).toEqual(kept);
        expect(murmur3x64_128(a)).toEqual(kept);
      }),
    );
  });

  it("gives points of hash64", () => {
    fc.assert(fc.property(fc.string(), (text) => hash64.isPoint(murmur3Hash64(text))));
  });

  it("takes the remainder exactly, for any modulus up to 2 ** 32", () => {
    const modulus = fc.oneof(
      fc.constantFrom(1, 2, 65534, 65535, 65536, 65537, 2 ** 31, 2 ** 32 - 1, 2 ** 32),
      fc.integer({ min: 1, max: 65536 }),
      fc.integer({ min: 1, max: 2 ** 32 }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), modulus, (bytes, divisor) => {
        expect(murmur3Mod(bytes, divisor)).toBe(Number(murmur3Hash64(bytes) % BigInt(divisor)));
      }),
      { numRuns: 5000 },
    );
  });

  it("takes it exactly where an intermediate remainder needs more than 16 bits", () => {
    const keys = Array.from({ length: 300_000 }, (_, index) => `key-${index}`);
    const rare = keys.filter((key) => (murmur3Hash64(key) >> 32n) % 65537n === 65536n);
    expect(rare.length).toBeGreaterThan(0);
    for (const key of rare) expect(murmur3Mod(key, 65537)).toBe(Number(murmur3Hash64(key) % 65537n));
  });

  it.each([
    undefined,
    null,
    7,
    {},
    [1, 2],
    new Uint16Array(2),
    new ArrayBuffer(4),
    Object.create(Uint8Array.prototype),
  ])("refuses to hash %o", (input) => {
    for (const hash of [murmur3x64_128, murmur3Hash64, (bytes: Uint8Array) => murmur3Mod(bytes, 65535)]) {
      expectSpaceError("invalid-argument", () => hash(input as Uint8Array));
    }
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN, "1", 1n, null])("refuses the seed %o", (seed) => {
    expectSpaceError("invalid-argument", () => murmur3x64_128("a", seed as number));
  });

  it.each([0, -1, 1.5, 2 ** 32 + 1, Number.NaN, Number.POSITIVE_INFINITY, "65535", 65535n, undefined])(
    "refuses the modulus %o",
    (modulus) => {
      expectSpaceError("invalid-argument", () => murmur3Mod("a", modulus as number));
    },
  );
});
