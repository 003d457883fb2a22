import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { infinity, murmur3Hash64, utf8Keys } from "../src/index.js";

/** The oracle: encode, then compare bytes. */
function byteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, "utf8"), Buffer.from(b, "utf8"));
}

/** The units at both sides of every border in UTF-16 and UTF-8, and U+FFFD, which lone surrogates stand for. */
const borderUnits = [
  0, 0x41, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xd800, 0xdbff, 0xdc00, 0xdfff, 0xe000, 0xfffc, 0xfffd, 0xfffe,
  0xffff,
];

const keyOfBorderUnits = fc
  .array(fc.constantFrom(...borderUnits), { maxLength: 8 })
  .map((units) => String.fromCharCode(...units));

describe("utf8Keys", () => {
  it("puts a key outside of the basic plane after U+E000 to U+FFFF, where `<` puts it before", () => {
    const emoji = "\u{1f600}";
    const privateUse = "\ue000";
    expect(emoji < privateUse).toBe(true);
    expect(utf8Keys.compare(emoji, privateUse)).toBe(1);
    expect(utf8Keys.contains({ from: privateUse, to: infinity }, emoji)).toBe(true);
  });

  it("looks at a whole pair when two keys differ in its second half only", () => {
    expect(utf8Keys.compare("\ud83d\ude00", "\ud83d\ude01")).toBe(-1);
    // Here the first halves are the same units, but only one of them is half of a pair.
    expect(utf8Keys.compare("\ud83d\ude00", "\ud83d\ue000")).toBe(byteOrder("\ud83d\ude00", "\ud83d\ue000"));
    expect(utf8Keys.compare("\ud83d\ude00", "\ud83da")).toBe(1);
  });

  it("treats every lone surrogate as U+FFFD, as the encoder does", () => {
    for (const lone of ["\ud800", "\udbff", "\udc00", "\udfff"]) {
      expect(utf8Keys.compare(lone, "\ufffd")).toBe(0);
      expect(utf8Keys.compare(`a${lone}b`, "a\ufffdb")).toBe(0);
      expect(utf8Keys.compare(`${lone}b`, "\ufffda")).toBe(1);
      expect(utf8Keys.format(lone)).toBe("\ufffd");
      expect(utf8Keys.parse(`x${lone}`)).toBe("x\ufffd");
      expect(murmur3Hash64(lone)).toBe(murmur3Hash64("\ufffd"));
    }
    expect(utf8Keys.compare("\udc00\ud800", "\ufffd\ufffd")).toBe(0);
    expect(utf8Keys.isEmpty({ from: "\ud800", to: "\ufffd" })).toBe(true);
  });

  it("orders all keys of up to three border units as their bytes are ordered", () => {
    const few = [0x41, 0x7ff, 0xd800, 0xdc00, 0xe000, 0xfffd, 0xffff];
    let keys = [""];
    const all = [...keys];
    for (let length = 1; length <= 3; length++) {
      keys = keys.flatMap((key) => few.map((unit) => key + String.fromCharCode(unit)));
      all.push(...keys);
    }
    for (const a of all) {
      for (const b of all) {
        if (utf8Keys.compare(a, b) !== byteOrder(a, b)) expect.fail(JSON.stringify([a, b]));
      }
    }
  });

  it("orders any keys as their bytes are ordered, also those with a long common start", () => {
    const key = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), keyOfBorderUnits);
    fc.assert(
      fc.property(key, key, key, (start, a, b) => {
        expect(utf8Keys.compare(a, b)).toBe(byteOrder(a, b));
        expect(utf8Keys.compare(start + a, start + b)).toBe(byteOrder(start + a, start + b));
        expect(utf8Keys.compare(start, start + b)).toBe(byteOrder(start, start + b));
      }),
      { numRuns: 3000 },
    );
  });

  it("gives keys the same text exactly when they are the same point", () => {
    fc.assert(
      fc.property(keyOfBorderUnits, keyOfBorderUnits, (a, b) => {
        expect(utf8Keys.format(a) === utf8Keys.format(b)).toBe(utf8Keys.compare(a, b) === 0);
        expect(utf8Keys.compare(utf8Keys.parse(utf8Keys.format(a)), a)).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  it("prints a key as it is, without quotes or escapes", () => {
    for (const key of ["", "key-1", 'a "quoted" key', "line\nbreak", "\u{1f600}"]) {
      expect(utf8Keys.format(key)).toBe(key);
      expect(utf8Keys.parse(key)).toBe(key);
    }
  });

  it("reads `inf` as a key and not as infinity", () => {
    expect(utf8Keys.parse("inf")).toBe("inf");
    expect(utf8Keys.compare("inf", infinity)).toBe(-1);
  });
});
