import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Bound,
  byteKeys,
  hash16,
  hash64,
  infinity,
  PartitionedRange,
  type Range,
  type Space,
  utf8Keys,
} from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";
import { points16, points64, pointsBytes, pointsKeys } from "./sample-points.js";

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
    for (const space of [hash64, hash16, utf8Keys, byteKeys] as readonly Space<unknown>[]) {
      const none = new PartitionedRange(space, []);
      expect(none.length).toBe(0);
      expect(none.overallRange).toEqual({ from: space.minimum, to: space.minimum });
      expect(space.isEmpty(none.overallRange)).toBe(true);
      expect(none.find(space.minimum)).toBe(-1);
      expect(none.find(infinity)).toBe(-1);
      expect(none.get(0)).toBeUndefined();
      expect([...none]).toEqual([]);
      expect(none.startPoints).toEqual([]);
    }
  });

  it("lists where its partitions start", () => {
    expect(thirds.startPoints).toEqual([10, 20, 21]);
    expect(Object.isFrozen(thirds.startPoints)).toBe(true);
  });

  it("splits one partition in two, and stays as it is itself", () => {
    const split = thirds.split(30);
    expect([...split].map(hash16.formatRange)).toEqual(["[10, 20)", "[20, 21)", "[21, 30)", "[30, 40)"]);
    expect(split.find(30)).toBe(3);
    expect(thirds.length).toBe(3);
    expect(thirds.split(11).startPoints).toEqual([10, 11, 20, 21]);
  });

  it("is itself when it is split where a boundary is", () => {
    for (const at of [10, 20, 21, 40]) expect(thirds.split(at)).toBe(thirds);
  });

  it("refuses to be split outside", () => {
    for (const at of [0, 9, 41, 65535]) expectSpaceError("invalid-partition", () => thirds.split(at));
    expectSpaceError("invalid-partition", () => new PartitionedRange(hash16, []).split(5));
    for (const at of [-1, 65536, 1.5, undefined, infinity]) {
      expectSpaceError("invalid-point", () => thirds.split(at as number));
    }
  });

  it("merges neighbours, and stays as it is itself", () => {
    expect([...thirds.merge(0)].map(hash16.formatRange)).toEqual(["[10, 21)", "[21, 40)"]);
    expect([...thirds.merge(1)].map(hash16.formatRange)).toEqual(["[10, 20)", "[20, 40)"]);
    expect([...thirds.merge(0, 3)].map(hash16.formatRange)).toEqual(["[10, 40)"]);
    expect(thirds.length).toBe(3);
  });

  it("is itself when one partition is merged with none", () => {
    for (const first of [0, 1, 2]) expect(thirds.merge(first, 1)).toBe(thirds);
  });

  it.each([
    [-1, 2],
    [2, 2],
    [3, 1],
    [0, 4],
    [0, 0],
    [2, -1],
    [0.5, 2],
    [0, 1.5],
    [Number.NaN, 2],
    [0, Number.NaN],
    [0, Number.POSITIVE_INFINITY],
    ["1", 1],
    [1, "1"],
    [undefined, 1],
    [null, 1],
  ])("refuses to merge from %o on as many as %o", (first, count) => {
    expectSpaceError("invalid-partition", () => thirds.merge(first as number, count as number));
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

  it.each([undefined, null, 5, "partitions", { from: 0, to: 1 }])(
    "refuses %o for partitions",
    (partitions) => {
      expectSpaceError(
        "invalid-argument",
        () => new PartitionedRange(hash16, partitions as unknown as Range<number>[]),
      );
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
  findsLikeTheOracle(byteKeys, pointsBytes, fc.uint8Array({ maxLength: 4 }));
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

describe("PartitionedRange, split and merged at random,", () => {
  it("has exactly the boundaries that were cut and not merged away", () => {
    const change = fc.oneof(
      fc.record({ at: fc.integer({ min: 100, max: 140 }) }),
      fc.record({ first: fc.nat(40), count: fc.integer({ min: 1, max: 4 }) }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        let partitioned = new PartitionedRange(hash16, [{ from: 100, to: 140 }]);
        let starts = [100];
        for (const step of changes) {
          if ("at" in step) {
            partitioned = partitioned.split(step.at);
            if (step.at < 140) starts = [...new Set([...starts, step.at])].sort((a, b) => a - b);
          } else if (step.first + step.count <= starts.length) {
            partitioned = partitioned.merge(step.first, step.count);
            starts.splice(step.first + 1, step.count - 1);
          }
          expect(partitioned.startPoints).toEqual(starts);
          expect(partitioned.overallRange).toEqual({ from: 100, to: 140 });
        }
      }),
    );
  });
});

describe("PartitionedRange of hash64", () => {
  const all = (1n << 64n) - 1n;
  it.each([
    ["all of them next to each other at the start", 5000, (i: number) => BigInt(i)],
    ["all of them next to each other at the end", 5000, (i: number) => all - 5000n + BigInt(i)],
    ["all of them around the border of the lower half", 5000, (i: number) => (1n << 32n) - 2500n + BigInt(i)],
    ["evenly spread, few", 1000, (i: number) => (all / 1000n) * BigInt(i)],
    ["evenly spread, many", 20_000, (i: number) => (all / 20_000n) * BigInt(i)],
    [
      "a few far away and the others in a cluster",
      9000,
      (i: number) => (i < 10 ? BigInt(i) << 40n : (1n << 63n) + BigInt(i) * 3n),
    ],
  ] as const)("finds every start, and the points beside it, where the starts are %s", (_, count, startAt) => {
    const starts = Array.from({ length: count }, (_start, index) => startAt(index));
    const partitions = new PartitionedRange(
      hash64,
      starts.map((from, index) => ({ from, to: starts[index + 1] ?? infinity })),
    );
    for (const [index, start] of starts.entries()) {
      if (partitions.find(start) !== index) expect.fail(`the start of ${index}`);
      if (start > 0n && partitions.find(start - 1n) !== index - 1) expect.fail(`before ${index}`);
      const next = starts[index + 1];
      if (start < all && start + 1n !== next && partitions.find(start + 1n) !== index)
        expect.fail(`after ${index}`);
    }
    expect(partitions.find(all)).toBe(count - 1);
  });
});
