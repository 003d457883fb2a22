import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dice, type Interval, plan, problem, shape } from "./plan-problems.js";

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
