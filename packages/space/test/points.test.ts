import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Bound, byteKeys, hash16, hash64, infinity, type Space, utf8Keys } from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";
import { points16, points64, pointsBytes, pointsKeys } from "./sample-points.js";

function everySpace<P>(space: Space<P>, ascending: readonly P[]): void {
  describe(`every space, ${space.kind}`, () => {
    const bounds: readonly Bound<P>[] = [...ascending, infinity];

    it("orders every two points, and infinity after all of them, the same way in both argument orders", () => {
      bounds.forEach((a, i) => {
        bounds.forEach((b, j) => {
          expect(space.compare(a, b)).toBe(Math.sign(i - j));
        });
      });
    });

    it("does not put infinity before itself", () => {
      expect(space.compare(infinity, infinity)).toBe(0);
    });

    it("has the minimum at or before every point", () => {
      for (const bound of bounds) expect(space.compare(space.minimum, bound)).toBeLessThanOrEqual(0);
      expect(space.minimum).toEqual(ascending[0]);
    });

    it("finds the same lower and the same higher bound in both argument orders", () => {
      bounds.forEach((a, i) => {
        bounds.forEach((b, j) => {
          expect(space.min(a, b)).toBe(bounds[Math.min(i, j)]);
          expect(space.max(a, b)).toBe(bounds[Math.max(i, j)]);
        });
      });
    });

    it("sorts with its comparison passed around as a plain function", () => {
      const { compare } = space;
      expect([...bounds].reverse().sort(compare)).toEqual(bounds);
    });

    it("reads every point back from its text, and gives each another text", () => {
      for (const point of ascending) expect(space.parse(space.format(point))).toEqual(point);
      expect(new Set(ascending.map(space.format)).size).toBe(ascending.length);
    });

    it("orders checked bounds with `order` as with `compare`", () => {
      for (const a of bounds) for (const b of bounds) expect(space.order(a, b)).toBe(space.compare(a, b));
    });

    it("has a finite rank for each point, which never falls", () => {
      const ranks = ascending.map(space.rank);
      for (const [index, rank] of ranks.entries()) {
        expect(Number.isFinite(rank)).toBe(true);
        if (index > 0) expect(rank).toBeGreaterThanOrEqual(ranks[index - 1]!);
      }
    });

    it("prints infinity as inf", () => {
      expect(space.format(infinity)).toBe("inf");
    });

    it("knows its points, and infinity is none of them", () => {
      for (const point of ascending) {
        expect(space.isPoint(point)).toBe(true);
        expect(space.point(point)).toBe(point);
      }
      expect(space.isPoint(infinity)).toBe(false);
      expectSpaceError("invalid-point", () => space.point(infinity));
    });

    it.each([undefined, null, true, {}, [], () => 1, Symbol("point"), new Date(0)])(
      "refuses %o as a point",
      (value) => {
        expect(space.isPoint(value)).toBe(false);
        expectSpaceError("invalid-point", () => space.point(value));
        expectSpaceError("invalid-point", () => space.compare(space.minimum, value as P));
        expectSpaceError("invalid-point", () => space.compare(value as P, space.minimum));
        expectSpaceError("invalid-point", () => space.compare(infinity, value as P));
        expectSpaceError("invalid-point", () => space.min(value as P, infinity));
        expectSpaceError("invalid-point", () => space.format(value as P));
      },
    );

    it.each([undefined, null, 7, {}])("refuses to read %o, which is no text", (value) => {
      expectSpaceError("invalid-point", () => space.parse(value as unknown as string));
    });

    it("cannot be changed", () => {
      expect(Object.isFrozen(space)).toBe(true);
    });
  });
}

everySpace(hash64, points64);
everySpace(hash16, points16);
everySpace(utf8Keys, pointsKeys);
everySpace(byteKeys, pointsBytes);

describe("infinity", () => {
  it("is the same for two copies of the package", () => {
    expect(infinity).toBe(Symbol.for("@x/space/infinity"));
  });
});

describe("hash64", () => {
  it("prints 0x and 16 upper-case hexadecimal digits", () => {
    expect(hash64.format(0n)).toBe("0x0000000000000000");
    expect(hash64.format(0xabcdef01n)).toBe("0x00000000ABCDEF01");
    expect(hash64.format((1n << 64n) - 1n)).toBe("0xFFFFFFFFFFFFFFFF");
  });

  it("reads back what it prints, in either case", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (point) => {
        const text = hash64.format(point);
        expect(text).toMatch(/^0x[0-9A-F]{16}$/);
        expect(hash64.parse(text)).toBe(point);
        expect(hash64.parse(text.toLowerCase())).toBe(point);
      }),
    );
  });

  it.each([
    "",
    "0x",
    "inf",
    "17",
    "0x1",
    "0X0000000000000001",
    "0x00000000000000001",
    "0x000000000000000G",
    " 0x0000000000000001",
    "0x0000000000000001\n",
    "-0x000000000000001",
  ])("refuses the text %j", (text) => {
    expectSpaceError("invalid-point", () => hash64.parse(text));
  });

  it("refuses bigints outside of 64 bits, also enormous ones, without printing them", () => {
    for (const value of [-1n, 1n << 64n, -(1n << 64n), 1n << 4_000_000n]) {
      expect(hash64.isPoint(value)).toBe(false);
      expectSpaceError("invalid-point", () => hash64.point(value));
      expectSpaceError("invalid-point", () => hash64.pointAt(value));
    }
  });

  it("numbers its points by their value", () => {
    expect(hash64.size).toBe(1n << 64n);
    for (const point of points64) expect(hash64.pointAt(point)).toBe(point);
  });
});

describe("hash16", () => {
  it("prints and reads every point in decimal", () => {
    for (let point = 0; point <= 65535; point++) {
      if (hash16.parse(hash16.format(point)) !== point) expect.fail(`point ${point}`);
    }
    expect(hash16.format(11795)).toBe("11795");
  });

  it.each(["", "inf", "-1", "+1", "01", "1.0", "1e3", "0x10", " 1", "1\n", "65536", "99999", "100000", "٣"])(
    "refuses the text %j",
    (text) => {
      expectSpaceError("invalid-point", () => hash16.parse(text));
    },
  );

  it("refuses numbers that are not integers from 0 to 65535", () => {
    for (const value of [-1, 65536, 0.5, Number.NaN, 2 ** 53]) {
      expect(hash16.isPoint(value)).toBe(false);
      expectSpaceError("invalid-point", () => hash16.point(value));
    }
  });

  it("tells whoever passes the number Infinity what to pass instead", () => {
    expect(
      expectSpaceError("invalid-point", () => hash16.range(0, Number.POSITIVE_INFINITY)).message,
    ).toContain("`infinity`");
  });

  it("numbers its points by their value and no further", () => {
    expect(hash16.size).toBe(65536n);
    for (const point of points16) expect(hash16.pointAt(BigInt(point))).toBe(point);
    for (const index of [-1n, 65536n, 1 as unknown as bigint]) {
      expectSpaceError("invalid-point", () => hash16.pointAt(index));
    }
  });
});
