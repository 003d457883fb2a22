import { byteKeys, hash64, infinity, type Space, utf8Keys } from "@x/space";
import { afterAll, describe, expect, it } from "vitest";
import type { LocatedViews, Plan, PlanOptions } from "../src/plan/contract.js";
import { startCounting } from "./plan-steps.js";

const counter = startCounting();
afterAll(counter.stop);
const countSteps = counter.steps;

// Only what is loaded from here on is counted.
const { partition } = await import("../src/partition.js");
const { planRequests } = await import("../src/plan/plan-requests.js");
const { sortPoints } = await import("../src/plan/sort-points.js");

type Interval = readonly [first: number, end: number];

function locatedAt(intervals: readonly Interval[]): LocatedViews<Interval> {
  return {
    views: intervals,
    first: Uint32Array.from(intervals, ([first]) => first),
    end: Uint32Array.from(intervals, ([, end]) => end),
  };
}

function allRanks(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, rank) => rank);
}

function plan(
  intervals: readonly Interval[],
  ranks: Uint32Array | number,
  options: Partial<PlanOptions> = {},
): Plan {
  return planRequests(locatedAt(intervals), {
    ranks: typeof ranks === "number" ? allRanks(ranks) : ranks,
    tierOf: () => 0,
    choose: (candidates) => candidates[0]!,
    maxPointsPerRequest: Number.POSITIVE_INFINITY,
    mode: "fewest",
    ...options,
  });
}

/** Picks as a dice would, the same way each time. */
function dice(seed: number): PlanOptions["choose"] {
  let state = seed;
  return (candidates) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return candidates[state % candidates.length]!;
  };
}

/** Random in the eyes of a sort, the same each time. */
function scattered(index: number): bigint {
  return BigInt.asUintN(64, BigInt(index) * 0x9e3779b97f4a7c15n);
}

it("counts every round of a loop", () => {
  const points = Array.from({ length: 5_000 }, (_, index) => BigInt(index));
  const steps = countSteps(() => sortPoints(hash64, points));
  expect(steps).toBeGreaterThan(3 * points.length);
  expect(countSteps(() => sortPoints(hash64, points))).toBe(steps);
});

describe("the cost of sortPoints", () => {
  it("is linear for a million points that are the same, or one of two", () => {
    for (const values of [["same"], ["one", "two"]]) {
      const points = Array.from({ length: 1_000_000 }, (_, index) => values[(index + 1) % values.length]!);
      expect(countSteps(() => sortPoints(utf8Keys, points)) / points.length).toBeLessThan(40);
    }
  });

  it("per point is the same for 1,000 and for 32,000 points", () => {
    const stepsOf = <P>(space: Space<P>, length: number, point: (index: number) => P): number => {
      const points = Array.from({ length }, (_, index) => point(index));
      return countSteps(() => sortPoints(space, points)) / length;
    };
    const points64 = [1_000, 32_000].map((length) => stepsOf(hash64, length, scattered));
    expect(points64[1]).toBeLessThan(1.1 * points64[0]!);
    const keys = [1_000, 32_000].map((length) =>
      stepsOf(utf8Keys, length, (index) => `user:${scattered(index)}`),
    );
    expect(keys[1]).toBeLessThan(2 * keys[0]!);
  });

  /** Keys that each start with the one before, and keys that leave a long common start one after the other, the last ones first. */
  const nested: Readonly<Record<string, (length: number) => string[]>> = {
    "that each start with the next": (length) =>
      Array.from({ length }, (_, index) => "a".repeat(length - index)),
    "that leave a common start one after the other": (length) =>
      Array.from({ length }, (_, index) => "a".repeat(length - index).padEnd(length, "b")),
  };
  for (const [name, keysOf] of Object.entries(nested)) {
    it(`is linear in the lengths of keys ${name}`, () => {
      const perUnit = (length: number): [strings: number, bytes: number] => {
        const keys = keysOf(length);
        const units = keys.reduce((sum, key) => sum + key.length, 0);
        const bytes = keys.map((key) => new TextEncoder().encode(key));
        return [
          countSteps(() => sortPoints(utf8Keys, keys)) / units,
          countSteps(() => sortPoints(byteKeys, bytes)) / units,
        ];
      };
      const few = perUnit(200);
      const many = perUnit(800);
      expect(many[0]).toBeLessThan(1.2 * few[0]);
      expect(many[1]).toBeLessThan(1.2 * few[1]);
    });
  }
});

describe("the cost of planRequests", () => {
  const cost = (intervals: readonly Interval[], ranks: number, options: Partial<PlanOptions> = {}): number =>
    countSteps(() => plan(intervals, ranks, { choose: dice(1), ...options })) / (intervals.length + ranks);

  /** Every view overlaps thousands of others, and each reaches a little farther than the one before. */
  const staircase = (views: number, ranks: number): Interval[] =>
    Array.from({ length: views }, (_, view) => [
      Math.floor((view * ranks) / (2 * views)),
      Math.floor(((view + views) * ranks) / (2 * views)),
    ]);

  for (const mode of ["fewest", "balanced"] as const) {
    it(`is linear for a staircase of 10,000 overlapping views, mode ${mode}`, () => {
      for (const maxPointsPerRequest of [1, 100, Number.POSITIVE_INFINITY]) {
        const options = { mode, maxPointsPerRequest };
        const large = cost(staircase(10_000, 100_000), 100_000, options);
        expect(large).toBeLessThan(1.5 * cost(staircase(500, 5_000), 5_000, options));
        expect(large).toBeLessThan(60);
      }
    });

    it(`is linear for 10,000 replicas of everything, mode ${mode}`, () => {
      const replicas = (count: number): Interval[] => Array.from({ length: count }, () => [0, 10 * count]);
      for (const maxPointsPerRequest of [1, 10, Number.POSITIVE_INFINITY]) {
        const options = { mode, maxPointsPerRequest };
        const large = cost(replicas(10_000), 100_000, options);
        expect(large).toBeLessThan(1.5 * cost(replicas(500), 5_000, options));
      }
    });

    it(`is linear for 10,000 views that each have a tier of their own, mode ${mode}`, () => {
      const options = { mode, tierOf: (view: number) => -view };
      const large = cost(staircase(10_000, 100_000), 100_000, options);
      expect(large).toBeLessThan(1.5 * cost(staircase(500, 5_000), 5_000, options));
      const nested = (count: number): Interval[] =>
        Array.from({ length: count }, (_, view) => [view, 10 * count - view]);
      expect(cost(nested(10_000), 100_000, options)).toBeLessThan(1.5 * cost(nested(500), 5_000, options));
    });
  }

  it("of looking for the bounds of views is O(log n) each, over ranks with gaps too", () => {
    const views = staircase(1_000, 100_000);
    const odd = Uint32Array.from({ length: 50_000 }, (_, index) => 2 * index + 1);
    const steps = countSteps(() => plan(views, odd));
    expect(steps).toBeLessThan(20 * odd.length + 60 * 20 * views.length);
  });
});

describe("the cost of partition", () => {
  it("costs the same for each of 500 and of 10,000 views", () => {
    const cost = (count: number): number => {
      const views = Array.from({ length: count }, (_, index) => {
        const from = BigInt.asUintN(63, BigInt(index) * 0x9e3779b97f4a7c15n);
        return { serves: { from, to: from + (1n << 62n) } };
      });
      return countSteps(() => partition({ from: 0n, to: infinity }, views)) / count;
    };
    expect(cost(10_000)).toBeLessThan(1.5 * cost(500));
  });
});
