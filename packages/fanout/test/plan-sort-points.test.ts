import { byteKeys, hash16, hash64, infinity, type Space, utf8Keys } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FanoutError } from "../src/errors.js";
import type { SortPoints } from "../src/plan/contract.js";
import { sortPoints } from "../src/plan/sort-points.js";
import { type SpaceCase, spaceCases } from "./plan-points.js";

/** A plain sort by the checked comparison, which is not what `sortPoints` uses. */
function sortedOffsets<P>(space: Space<P>, points: readonly P[]): number[] {
  return points.map((_, offset) => offset).sort((a, b) => space.compare(points[a]!, points[b]!) || a - b);
}

function expectSorted<P>(space: Space<P>, points: readonly P[]): void {
  expect([...sortPoints(space, points).offsets]).toEqual(sortedOffsets(space, points));
}

/** The error of points that no compiler would let through. */
function errorOf(space: unknown, points: unknown): FanoutError {
  try {
    sortPoints(space as Space<unknown>, points as unknown[]);
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error("sortPoints accepted the points.");
}

/** Random in the eyes of a sort, the same each time. */
function scattered(index: number): bigint {
  return BigInt.asUintN(64, BigInt(index) * 0x9e3779b97f4a7c15n);
}

describe("sortPoints", () => {
  it("is what the contract says", () => {
    const sort: SortPoints = sortPoints;
    expect(sort(hash64, []).offsets).toEqual(new Uint32Array(0));
  });

  for (const spaceCase of spaceCases) {
    it(`orders the points of ${spaceCase.name} as the space does, equal ones by offset`, () => {
      const check = <P>({ space, point }: SpaceCase<P>): void => {
        const few = fc.array(point, { maxLength: 30 });
        // Enough for several steps of the radix sort.
        const many = fc.array(point, { minLength: 100, maxLength: 700, size: "max" });
        fc.assert(
          fc.property(fc.oneof(few, many), (points) => expectSorted(space, points)),
          { numRuns: 60 },
        );
      };
      check(spaceCase as SpaceCase<unknown>);
    });
  }

  it("orders 100,000 points of every kind", () => {
    const numbers = Array.from({ length: 100_000 }, (_, index) => scattered(index));
    const keys = numbers.map((number) => `user:${number % 50_000n}:ключ`);
    expectSorted(hash64, numbers);
    expectSorted(
      hash64,
      numbers.map((number) => (number % 3n) << 40n),
    );
    expectSorted(
      hash16,
      numbers.map((number) => Number(number >> 48n)),
    );
    expectSorted(utf8Keys, keys);
    expectSorted(
      byteKeys,
      keys.map((key) => new TextEncoder().encode(key)),
    );
  }, 60_000);

  it("orders strings as their UTF-8 bytes, halves of surrogate pairs as U+FFFD", () => {
    const points = ["\u{1f600}", "\uffff", "\ufffd", "\ud800", "\ue000", "z", "\ud800\udc00", "", "\udc00a"];
    const order = ["", "z", "\ue000", "\ufffd", "\ud800", "\udc00a", "\uffff", "\ud800\udc00", "\u{1f600}"];
    // Often enough that they are not sorted by comparison.
    const many = Array.from({ length: 40 }, () => points).flat();
    const { offsets } = sortPoints(utf8Keys, many);
    expect([...offsets].map((offset) => many[offset])).toEqual(
      order.flatMap((point) =>
        // The two that are the same point keep the order in which they alternate.
        point === "\ufffd"
          ? Array.from({ length: 40 }, () => ["\ufffd", "\ud800"]).flat()
          : point === "\ud800"
            ? []
            : Array<string>(40).fill(point),
      ),
    );
  });

  it("keeps its own copy of the array", () => {
    const points = [3, 1, 2];
    const sorted = sortPoints(hash16, points);
    points.fill(9);
    expect([...sorted.offsets].map((offset) => sorted.points[offset])).toEqual([1, 2, 3]);
  });

  it("names the first value that is no point", () => {
    const cases: readonly [unknown, unknown[], number][] = [
      [hash16, [1, Number.NaN, -1], 1],
      [hash16, [1, 2, 0.5], 2],
      [hash16, [1n], 0],
      [hash64, [0n, 5], 1],
      [hash64, [1n << 64n], 0],
      [hash64, [1n, infinity], 1],
      [hash64, [1n, null], 1],
      [utf8Keys, ["a", new Uint8Array(1)], 1],
      [byteKeys, [new Uint8Array(1), "a"], 1],
      [byteKeys, [Object.create(Uint8Array.prototype)], 0],
    ];
    for (const [space, points, offset] of cases) {
      const error = errorOf(space, points);
      expect(error.code).toBe("invalid-argument");
      expect(error.message).toContain(`points[${offset}] is not a point.`);
      expect(error.cause).toBeInstanceOf(Error);
    }
  });

  it("takes a hole for the missing point that it is", () => {
    const points = [1, 2, 3, 4];
    delete points[2];
    expect(errorOf(hash16, points).message).toContain("points[2] is not a point.");
    expect(errorOf(hash16, new Array(5)).message).toContain("points[0] is not a point.");
  });

  it("refuses what is no array", () => {
    for (const points of [
      undefined,
      null,
      "abc",
      { length: 2, 0: 1, 1: 2 },
      new Set([1]),
      Uint16Array.of(1),
    ]) {
      expect(errorOf(hash16, points).code).toBe("invalid-argument");
    }
  });

  it("says of points of another kind which ones it takes", () => {
    expect(errorOf(hash64, [0n, 17]).message).toBe(
      "points[1] is not a point. Points of hash64 are bigints from 0n to 2n ** 64n - 1n, and this is the number 17.",
    );
  });
});

describe("the cost of sortPoints", () => {
  it("is one look at each point and one comparison when they are in order", () => {
    const calls = { isPoint: 0, order: 0, rank: 0 };
    const counting: Space<number> = {
      ...hash16,
      isPoint: (value): value is number => ++calls.isPoint > 0 && hash16.isPoint(value),
      order: (a, b) => ++calls.order && hash16.order(a, b),
      rank: (point) => ++calls.rank && hash16.rank(point),
    };
    sortPoints(
      counting,
      Array.from({ length: 60_000 }, (_, index) => index),
    );
    expect(calls).toEqual({ isPoint: 60_000, order: 59_999, rank: 0 });
  });

  it("is linear for random points of a space that it does not know", () => {
    let compared = 0;
    const counting: Space<bigint> = {
      ...hash64,
      order: (a, b) => {
        compared++;
        return hash64.order(a, b);
      },
    };
    sortPoints(
      counting,
      Array.from({ length: 100_000 }, (_, index) => scattered(index)),
    );
    // Of n log n it would be more than a million.
    expect(compared).toBeLessThan(200_000);
  });
});
