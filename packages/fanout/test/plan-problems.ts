import fc from "fast-check";
import type { LocatedViews, Plan, PlanOptions } from "../src/plan/contract.js";
import { planRequests } from "../src/plan/plan-requests.js";

export type Interval = readonly [first: number, end: number];

export function locatedAt(intervals: readonly Interval[]): LocatedViews<Interval> {
  return {
    views: intervals,
    first: Uint32Array.from(intervals, ([first]) => first),
    end: Uint32Array.from(intervals, ([, end]) => end),
  };
}

export function allRanks(length: number): Uint32Array {
  return Uint32Array.from({ length }, (_, rank) => rank);
}

export function plan(
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

/** View and ranks of each request, to compare. */
export function shape({ requests }: Plan): [number, number[]][] {
  return requests.map(({ view, ranks }) => [view, [...ranks]]);
}

/** Picks as a dice would, the same way each time. */
export function dice(seed: number): PlanOptions["choose"] {
  let state = seed;
  return (candidates) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return candidates[state % candidates.length]!;
  };
}

/** The fewest requests that carry all of the ranks, found by trying every set of points as a request of every view. */
export function fewestByTrying(
  intervals: readonly Interval[],
  ranks: readonly number[],
  most: number,
): number {
  const all = (1 << ranks.length) - 1;
  const served = intervals.map(([first, end]) =>
    ranks.reduce((set, rank, bit) => (rank >= first && rank < end ? set | (1 << bit) : set), 0),
  );
  const size = (set: number): number => (set === 0 ? 0 : 1 + size(set & (set - 1)));
  const fewest = new Array<number>(all + 1).fill(Number.POSITIVE_INFINITY);
  fewest[0] = 0;
  for (let done = 0; done <= all; done++) {
    for (const set of served) {
      const left = set & ~done;
      for (let part = left; part > 0; part = (part - 1) & left) {
        if (size(part) > most) continue;
        fewest[done | part] = Math.min(fewest[done | part]!, fewest[done]! + 1);
      }
    }
  }
  return fewest[all]!;
}

export const mode = fc.constantFrom("fewest", "balanced");
export const most = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(Number.POSITIVE_INFINITY));
export const intervalIn = (length: number): fc.Arbitrary<Interval> =>
  fc.tuple(fc.nat(length), fc.nat(length)).map(([a, b]) => (a < b ? [a, b] : [b, a + 1]));
/** Views over so many ranks, some of the ranks, and a tier for each view. */
export const problem = (length: number, views: number) =>
  fc.record({
    intervals: fc.array(intervalIn(length), { maxLength: views }),
    ranks: fc.subarray(Array.from({ length }, (_, rank) => rank)),
    tiers: fc.array(fc.constantFrom(0, 0, 1, 2.5, -1, Number.POSITIVE_INFINITY, Number.NaN), {
      minLength: views,
      maxLength: views,
    }),
    most,
    seed: fc.nat(),
  });
