import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Bound,
  hash16,
  hash64,
  infinity,
  PartitionedRange,
  type Range,
  type Space,
  utf8Keys,
} from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";
import { points16, points64, pointsKeys } from "./sample-points.js";

describe("PartitionedRange", () => {
  const thirds = new PartitionedRange(hash16, [
    { from: 10, to: 20 },
    { from: 20, to: 21 },
    { from: 21, to: 40 },
  ]);

  it("knows its overall range, its length and each partition", () => {
    expect(thirds.overallRange).toEqual({ from: 10, to: 40 });
    expect(thirds.length).toBe(3);
    expect(thirds.get(0)).toEqual({ from: 10, to: 20 });
    expect(thirds.get(2)).toEqual({ from: 21, to: 40 });
    expect(thirds.space).toBe(hash16);
  });

  it("has no partition at an index outside", () => {
    for (const index of [-1, 3, 0.5, Number.NaN]) expect(thirds.get(index)).toBeUndefined();
  });

  it("finds the partition of a point, a boundary in the one on its right", () => {
    expect([10, 19, 20, 21, 22, 39].map((point) => thirds.find(point))).toEqual([0, 0, 1, 2, 2, 2]);
  });

  it("finds -1 for a point outside, at the end, and for infinity", () => {
    expect([0, 9, 40, 41, 65535].map((point) => thirds.find(point))).toEqual([-1, -1, -1, -1, -1]);
    expect(thirds.find(infinity)).toBe(-1);
  });

  it("finds infinity nowhere, even when the last partition ends there", () => {
    const all = new PartitionedRange(hash16, [{ from: 0, to: infinity }]);
    expect(all.find(65535)).toBe(0);
    expect(all.find(infinity)).toBe(-1);
  });

  it("iterates in ascending order, as often as asked", () => {
    const expected = [
      { from: 10, to: 20 },
      { from: 20, to: 21 },
      { from: 21, to: 40 },
    ];
    expect([...thirds]).toEqual(expected);
    expect(Array.from(thirds)).toEqual(expected);
  });

  it("with no partitions has no points and an empty overall range", () => {
    for (const space of [hash64, hash16, utf8Keys] as readonly Space<unknown>[]) {
      const none = new PartitionedRange(space, []);
      expect(none.length).toBe(0);
      expect(none.overallRange).toEqual({ from: space.minimum, to: space.minimum });
      expect(space.isEmpty(none.overallRange)).toBe(true);
      expect(none.find(space.minimum)).toBe(-1);
      expect(none.find(infinity)).toBe(-1);
      expect(none.get(0)).toBeUndefined();
      expect([...none]).toEqual([]);
    }
  });

  it("keeps its own copy of the partitions", () => {
    const mine = { from: 0, to: 10 };
    const list: Range<number>[] = [mine];
    const partitioned = new PartitionedRange(hash16, list);
    mine.to = 5;
    list.push({ from: 5, to: 10 });
    expect([...partitioned]).toEqual([{ from: 0, to: 10 }]);
    expect(Object.isFrozen(partitioned.get(0))).toBe(true);
  });

  it("reads its source once, so a generator will do", () => {
    function* halves(): Generator<Range<bigint>> {
      yield { from: 0n, to: 1n << 63n };
      yield { from: 1n << 63n, to: infinity };
    }
    expect(new PartitionedRange(hash64, halves()).find((1n << 64n) - 1n)).toBe(1);
  });

  it("takes ranges computed in place", () => {
    const starts = [0, 100, 5000];
    const cut = new PartitionedRange(
      hash16,
      starts.map((from, index) => ({ from, to: starts[index + 1] ?? infinity })),
    );
    expect([...cut].map(hash16.formatRange)).toEqual(["[0, 100)", "[100, 5000)", "[5000, inf)"]);
  });

  it.each([
    [
      "a gap",
      [
        { from: 0, to: 5 },
        { from: 6, to: 10 },
      ],
    ],
    [
      "an overlap",
      [
        { from: 0, to: 5 },
        { from: 4, to: 10 },
      ],
    ],
    [
      "a wrong order",
      [
        { from: 5, to: 10 },
        { from: 0, to: 5 },
      ],
    ],
    [
      "a duplicate",
      [
        { from: 0, to: 5 },
        { from: 0, to: 5 },
      ],
    ],
    [
      "an empty one",
      [
        { from: 0, to: 5 },
        { from: 5, to: 5 },
        { from: 5, to: 10 },
      ],
    ],
    ["only an empty one", [{ from: 5, to: 5 }]],
    [
      "one behind infinity",
      [
        { from: 0, to: infinity },
        { from: 5, to: 10 },
      ],
    ],
  ] satisfies readonly (readonly [string, readonly Range<number>[]])[])(
    "refuses partitions with %s",
    (_, partitions) => {
      expectSpaceError("invalid-partition", () => new PartitionedRange<number>(hash16, partitions));
    },
  );

  it("refuses partitions that are no ranges of its space", () => {
    expectSpaceError("invalid-range", () => new PartitionedRange(hash16, [{ from: 9, to: 3 }]));
    expectSpaceError("invalid-point", () => new PartitionedRange(hash16, [{ from: 0, to: 65536 }]));
    expectSpaceError(
      "invalid-range",
      () => new PartitionedRange(hash16, [undefined as unknown as Range<number>]),
    );
  });

  it("refuses to find what is no point", () => {
    for (const value of [-1, 65536, 1.5, Number.NaN])
      expectSpaceError("invalid-point", () => thirds.find(value));
    expectSpaceError("invalid-point", () => thirds.find(undefined as unknown as number));
  });
});

/** The oracle: look at every partition. */
function findByLooking<P>(space: Space<P>, partitions: readonly Range<P>[], point: Bound<P>): number {
  return partitions.findIndex((partition) => space.contains(partition, point));
}

function findsLikeTheOracle<P>(space: Space<P>, ascending: readonly P[], anyPoint: fc.Arbitrary<P>): void {
  it(`finds what looking at every partition finds, in ${space.kind}`, () => {
    const point = fc.oneof(fc.constantFrom(...ascending), anyPoint);
    fc.assert(
      fc.property(
        fc.array(point, { maxLength: 40 }),
        fc.boolean(),
        fc.array(point, { maxLength: 20 }),
        (cuts, open, probes) => {
          const sorted = [...cuts].sort(space.compare);
          const starts = sorted.filter(
            (cut, index) => index === 0 || space.compare(sorted[index - 1] as P, cut) !== 0,
          );
          const ends: readonly Bound<P>[] = open ? [...starts.slice(1), infinity] : starts.slice(1);
          const partitions: readonly Range<P>[] = ends
            .slice(0, starts.length)
            .map((to, index) => ({ from: starts[index] as P, to }));
          const partitioned = new PartitionedRange<P>(space, partitions);
          expect([...partitioned]).toEqual(partitions);
          for (const probe of [...probes, ...starts, ...ascending, infinity] as const) {
            const index = partitioned.find(probe);
            expect(index).toBe(findByLooking(space, partitions, probe));
            expect(space.contains(partitioned.overallRange, probe)).toBe(index >= 0);
          }
        },
      ),
    );
  });
}

describe("PartitionedRange, with random cuts,", () => {
  findsLikeTheOracle(hash64, points64, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
  findsLikeTheOracle(hash16, points16, fc.integer({ min: 0, max: 65535 }));
  const surrogates = fc.array(fc.constantFrom("a", "\ud800", "\udc00", "\ue000", "\ufffd"), { maxLength: 4 });
  findsLikeTheOracle(
    utf8Keys,
    pointsKeys,
    fc.oneof(
      fc.string({ unit: "binary" }),
      surrogates.map((units) => units.join("")),
    ),
  );
});
