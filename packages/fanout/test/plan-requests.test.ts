import { hash64, infinity } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FanoutError } from "../src/errors.js";
import type { LocatedViews, Plan, PlanOptions, PlanRequests } from "../src/plan/contract.js";
import { locateViews } from "../src/plan/locate-views.js";
import { planRequests } from "../src/plan/plan-requests.js";
import { sortPoints } from "../src/plan/sort-points.js";
import { rangesOf, type SpaceCase, spaceCases } from "./plan-points.js";

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

/** View and ranks of each request, to compare. */
function shape({ requests }: Plan): [number, number[]][] {
  return requests.map(({ view, ranks }) => [view, [...ranks]]);
}

/** Picks as a dice would, the same way each time. */
function dice(seed: number): PlanOptions["choose"] {
  let state = seed;
  return (candidates) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return candidates[state % candidates.length]!;
  };
}

/** The fewest requests that carry all of the ranks, found by trying every set of points as a request of every view. */
function fewestByTrying(intervals: readonly Interval[], ranks: readonly number[], most: number): number {
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

const mode = fc.constantFrom("fewest", "balanced");
const most = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.constant(Number.POSITIVE_INFINITY));
const intervalIn = (length: number): fc.Arbitrary<Interval> =>
  fc.tuple(fc.nat(length), fc.nat(length)).map(([a, b]) => (a < b ? [a, b] : [b, a + 1]));
/** Views over so many ranks, some of the ranks, and a tier for each view. */
const problem = (length: number, views: number) =>
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

describe("planRequests", () => {
  it("is what the contract says", () => {
    const planner: PlanRequests = planRequests;
    expect(planner).toBe(planRequests);
  });

  it("has nothing to do without points, and covers nothing without views", () => {
    expect(plan([[0, 5]], 0)).toEqual({ requests: [], uncovered: new Uint32Array(0) });
    expect(plan([], 2)).toEqual({ requests: [], uncovered: Uint32Array.of(0, 1) });
  });

  it("gives all points to one view that serves them", () => {
    expect(shape(plan([[0, 4]], 4))).toEqual([[0, [0, 1, 2, 3]]]);
  });

  it("takes the view that reaches farthest from the leftmost point, not the largest", () => {
    // The one in the middle is the largest, and the two others are enough.
    expect(
      shape(
        plan(
          [
            [1, 9],
            [0, 5],
            [5, 10],
          ],
          10,
        ),
      ),
    ).toEqual([
      [1, [0, 1, 2, 3, 4]],
      [2, [5, 6, 7, 8, 9]],
    ]);
  });

  it("offers all views that serve the points of a request, also those that reach farther", () => {
    const offered: number[][] = [];
    const choose: PlanOptions["choose"] = (candidates) => {
      offered.push([...candidates].sort());
      return candidates[0]!;
    };
    plan(
      [
        [0, 6],
        [0, 4],
        [0, 6],
        [2, 6],
        [0, 3],
      ],
      6,
      { choose, maxPointsPerRequest: 4 },
    );
    expect(offered).toEqual([
      [0, 1, 2],
      [0, 2, 3],
    ]);
  });

  it("takes views for equal that reach the same last point of those that are left", () => {
    const offered: number[][] = [];
    const choose: PlanOptions["choose"] = (candidates) => {
      offered.push([...candidates].sort());
      return candidates[0]!;
    };
    plan(
      [
        [0, 5],
        [0, 9],
      ],
      Uint32Array.of(1, 4, 20),
      { choose },
    );
    expect(offered).toEqual([[0, 1]]);
  });

  it("plans what a lower tier serves there, and only the rest on the next", () => {
    const { requests, uncovered } = plan(
      [
        [0, 8],
        [2, 4],
        [5, 6],
        [9, 10],
      ],
      10,
      { tierOf: (view) => [1, 0, 0, Number.POSITIVE_INFINITY][view]! },
    );
    expect(requests.map(({ view, ranks }) => [view, [...ranks]])).toEqual([
      [1, [2, 3]],
      [2, [5]],
      [0, [0, 1, 4, 6, 7]],
    ]);
    expect([...uncovered]).toEqual([8, 9]);
  });

  it("asks for the tier of each view once", () => {
    const asked: number[] = [];
    plan(
      [
        [0, 5],
        [0, 5],
        [3, 9],
      ],
      9,
      {
        maxPointsPerRequest: 1,
        tierOf: (view) => {
          asked.push(view);
          return view;
        },
      },
    );
    expect(asked).toEqual([0, 1, 2]);
  });

  it("shares no memory with the ranks it was given", () => {
    const ranks = allRanks(3);
    const { requests } = plan([[0, 3]], ranks);
    ranks.fill(7);
    expect([...requests[0]!.ranks]).toEqual([0, 1, 2]);
  });

  it("has the fewest requests that are possible", () => {
    fc.assert(
      fc.property(problem(8, 5), ({ intervals, ranks, most, seed }) => {
        const { requests, uncovered } = plan(intervals, Uint32Array.from(ranks), {
          maxPointsPerRequest: most,
          choose: dice(seed),
        });
        const covered = ranks.filter((rank) => !uncovered.includes(rank));
        expect(requests.length).toBe(fewestByTrying(intervals, covered, most));
      }),
      { numRuns: 500 },
    );
  });

  it("puts each rank into one request of a view that serves it, or says that it is uncovered", () => {
    fc.assert(
      fc.property(problem(30, 12), mode, ({ intervals, ranks, tiers, most, seed }, mode) => {
        const { requests, uncovered } = plan(intervals, Uint32Array.from(ranks), {
          mode,
          maxPointsPerRequest: most,
          tierOf: (view) => tiers[view]!,
          choose: dice(seed),
        });
        const usable = (rank: number): number[] =>
          intervals.flatMap(([first, end], view) =>
            rank >= first && rank < end && tiers[view]! < Number.POSITIVE_INFINITY ? [view] : [],
          );
        for (const request of requests) {
          expect(request.ranks.length).toBeGreaterThan(0);
          expect(request.ranks.length).toBeLessThanOrEqual(most);
          expect([...request.ranks]).toEqual([...request.ranks].sort((a, b) => a - b));
          for (const rank of request.ranks) {
            const lowest = Math.min(...usable(rank).map((view) => tiers[view]!));
            expect(usable(rank)).toContain(request.view);
            expect(tiers[request.view]).toBe(lowest);
          }
        }
        const planned = requests.flatMap((request) => [...request.ranks]);
        expect([...planned, ...uncovered].sort((a, b) => a - b)).toEqual(ranks);
        expect([...uncovered]).toEqual(ranks.filter((rank) => usable(rank).length === 0));
        const order = requests.map((request) => tiers[request.view]!);
        expect(order).toEqual([...order].sort((a, b) => a - b));
      }),
      { numRuns: 500 },
    );
  });

  it("asks once for each request, with every view of the tier that serves all of it", () => {
    fc.assert(
      fc.property(problem(20, 10), ({ intervals, ranks, tiers, most, seed }) => {
        const offered: number[][] = [];
        const pick = dice(seed);
        const { requests } = plan(intervals, Uint32Array.from(ranks), {
          maxPointsPerRequest: most,
          tierOf: (view) => tiers[view]!,
          choose: (candidates) => {
            offered.push([...candidates].sort((a, b) => a - b));
            return pick(candidates);
          },
        });
        expect(offered).toEqual(
          requests.map((request) =>
            intervals.flatMap(([first, end], view) =>
              tiers[view] === tiers[request.view] &&
              request.ranks.every((rank) => rank >= first && rank < end)
                ? [view]
                : [],
            ),
          ),
        );
      }),
    );
  });

  for (const spaceCase of spaceCases) {
    it(`plans points of ${spaceCase.name} on views that contain them`, () => {
      const check = <P>(one: SpaceCase<P>): void => {
        const { space, point } = one;
        const points = fc.array(point, { maxLength: 50 });
        const ranges = fc.array(rangesOf(one), { maxLength: 8 });
        fc.assert(
          fc.property(points, ranges, mode, fc.nat(), (points, ranges, mode, seed) => {
            const sorted = sortPoints(space, points);
            const views = ranges.map((serves) => ({ serves }));
            const located = locateViews(sorted, views);
            const { requests, uncovered } = planRequests(located, {
              ranks: allRanks(points.length),
              tierOf: () => 0,
              choose: dice(seed),
              maxPointsPerRequest: 7,
              mode,
            });
            const pointOf = (rank: number): P => points[sorted.offsets[rank]!]!;
            for (const { view, ranks } of requests) {
              const { serves } = located.views[view]!;
              for (const rank of ranks) expect(space.contains(serves, pointOf(rank))).toBe(true);
            }
            for (const rank of uncovered) {
              expect(ranges.some((range) => space.contains(range, pointOf(rank)))).toBe(false);
            }
            const count = requests.reduce((sum, { ranks }) => sum + ranks.length, uncovered.length);
            expect(count).toBe(points.length);
          }),
        );
      };
      check(spaceCase as SpaceCase<unknown>);
    });
  }

  it("refuses a limit that leaves no room for a point", () => {
    for (const maxPointsPerRequest of [0, -1, 0.5, Number.NaN]) {
      expect(() => plan([[0, 3]], 3, { maxPointsPerRequest })).toThrow(FanoutError);
    }
  });

  it("refuses a choice that is no candidate", () => {
    for (const choice of [1, -1, 7, Number.NaN, 0.5]) {
      expect(() =>
        plan(
          [
            [0, 3],
            [5, 9],
          ],
          3,
          { choose: () => choice },
        ),
      ).toThrow(FanoutError);
    }
  });
});

describe("planRequests in balanced mode", () => {
  const replicas: readonly Interval[] = [
    [0, 100],
    [0, 100],
    [0, 100],
  ];

  it("spreads points over all replicas", () => {
    const { requests } = plan(replicas, 100, { mode: "balanced" });
    expect(requests.map(({ ranks }) => ranks.length)).toEqual([33, 33, 34]);
    expect(new Set(requests.map(({ view }) => view)).size).toBe(3);
  });

  it("gives each replica the same number of requests where there is a limit", () => {
    const { requests } = plan(replicas, 100, { mode: "balanced", maxPointsPerRequest: 20, choose: dice(3) });
    expect(requests.map(({ ranks }) => ranks.length)).toEqual([16, 17, 17, 16, 17, 17]);
    expect(requests.map(({ view }) => view).sort()).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("makes no more requests than points", () => {
    expect(plan(replicas, 2, { mode: "balanced" }).requests.length).toBe(2);
  });

  it("goes on with the request of the run before where its view serves the next run too", () => {
    // Runs: 0-3 on view 0, 4-7 on both, 8-11 on view 1.
    expect(
      shape(
        plan(
          [
            [0, 8],
            [4, 12],
          ],
          12,
          { mode: "balanced" },
        ),
      ),
    ).toEqual([
      [0, [0, 1, 2, 3, 4, 5]],
      [1, [6, 7, 8, 9, 10, 11]],
    ]);
  });

  it("is not disturbed by views that serve none of the points", () => {
    const { requests } = plan(
      [
        [0, 10],
        [0, 10],
        [5, 6],
      ],
      Uint32Array.of(1, 2, 3, 4, 7, 8, 9),
      {
        mode: "balanced",
      },
    );
    expect(requests.map(({ ranks }) => ranks.length)).toEqual([3, 4]);
  });

  it("keeps the loads of the candidates of a run within one piece of each other", () => {
    fc.assert(
      fc.property(problem(60, 6), ({ intervals, ranks, most, seed }) => {
        const { requests, uncovered } = plan(intervals, Uint32Array.from(ranks), {
          mode: "balanced",
          maxPointsPerRequest: most,
          choose: dice(seed),
        });
        const viewOf = new Map(requests.flatMap(({ view, ranks }) => [...ranks].map((rank) => [rank, view])));
        const candidatesOf = (rank: number): number[] =>
          intervals.flatMap(([first, end], view) => (rank >= first && rank < end ? [view] : []));
        let run: number[] = [];
        const covered = ranks.filter((rank) => !uncovered.includes(rank));
        for (const [index, rank] of covered.entries()) {
          run.push(rank);
          const candidates = candidatesOf(rank);
          const next = covered[index + 1];
          if (next !== undefined && String(candidatesOf(next)) === String(candidates)) continue;
          const loads = candidates.map((view) => run.filter((one) => viewOf.get(one) === view).length);
          // So many pieces for each candidate, which differ by one point at most.
          const requests = Math.ceil(run.length / Math.min(most, run.length));
          const rounds = Math.ceil(requests / candidates.length);
          expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(rounds);
          run = [];
        }
      }),
      { numRuns: 500 },
    );
  });
});

it("plans 10,000 points over 99 ranges with three replicas in 99 requests", () => {
  const width = (1n << 64n) / 99n;
  const ranges = Array.from({ length: 99 }, (_, index) => ({
    from: BigInt(index) * width,
    to: index === 98 ? infinity : BigInt(index + 1) * width,
  }));
  const views = [0, 1, 2].flatMap(() => ranges.map((serves) => ({ serves })));
  const points = Array.from({ length: 10_000 }, (_, index) =>
    BigInt.asUintN(64, BigInt(index) * 0x9e3779b97f4a7c15n),
  );
  const located = locateViews(sortPoints(hash64, points), views);
  const options = { ranks: allRanks(10_000), tierOf: () => 0, choose: dice(1), maxPointsPerRequest: 1_000 };
  expect(planRequests(located, { ...options, mode: "fewest" }).requests.length).toBe(99);
  expect(planRequests(located, { ...options, mode: "balanced" }).requests.length).toBe(297);
});
