import { hash64, infinity } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { locateViews } from "../src/plan/locate-views.js";
import { planRequests } from "../src/plan/plan-requests.js";
import { sortPoints } from "../src/plan/sort-points.js";
import { rangesOf, type SpaceCase, spaceCases } from "./plan-points.js";
import { allRanks, dice, fewestByTrying, mode, plan, problem } from "./plan-problems.js";

describe("planRequests, for any views and points,", () => {
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
