import { describe, expect, it } from "vitest";
import { FanoutError } from "../src/errors.js";
import type { PlanOptions, PlanRequests } from "../src/plan/contract.js";
import { planRequests } from "../src/plan/plan-requests.js";
import { allRanks, plan, shape } from "./plan-problems.js";

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
