import { hash16, hash64, infinity, type Range } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FanoutError } from "../src/errors.js";
import type { LocateViews } from "../src/plan/contract.js";
import { locateViews } from "../src/plan/locate-views.js";
import { sortPoints } from "../src/plan/sort-points.js";
import type { Views } from "../src/views.js";
import { rangesOf, type SpaceCase, spaceCases } from "./plan-points.js";

const sorted = sortPoints(hash16, [30, 10, 20, 40, 20]);

const view = (from: number, to: Range<number>["to"]): { readonly serves: Range<number> } => ({
  serves: { from, to },
});

/** The error for a list that no compiler would let through. */
function errorOf(views: unknown): FanoutError {
  try {
    locateViews(sorted, views as Views<unknown>);
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error("locateViews accepted the views.");
}

describe("locateViews", () => {
  it("is what the contract says", () => {
    const locate: LocateViews = locateViews;
    expect(locate(sorted, []).views).toEqual([]);
  });

  it("gives the ranks of the points that each view serves, in the order of the list", () => {
    const views = [view(20, infinity), view(0, 65535), view(10, 20), view(15, 31)];
    const located = locateViews(sorted, views);
    expect(located.views).toEqual(views);
    expect([...located.first]).toEqual([1, 0, 0, 1]);
    expect([...located.end]).toEqual([5, 5, 1, 4]);
  });

  it("leaves out the views that serve none of the points, and those with an empty range", () => {
    const last = view(40, 41);
    expect(locateViews(sorted, [view(0, 10), view(20, 20), view(41, infinity), view(21, 30), last])).toEqual({
      views: [last],
      first: Uint32Array.of(4),
      end: Uint32Array.of(5),
    });
    expect(locateViews(sortPoints(hash16, []), [last]).views).toEqual([]);
  });

  for (const spaceCase of spaceCases) {
    it(`agrees with asking ${spaceCase.name} about each point and view`, () => {
      const check = <P>(one: SpaceCase<P>): void => {
        const { space, point } = one;
        const points = fc.array(point, { maxLength: 40 });
        const ranges = fc.array(rangesOf(one), { maxLength: 8 });
        fc.assert(
          fc.property(points, ranges, (points, ranges) => {
            const ordered = sortPoints(space, points);
            const located = locateViews(
              ordered,
              ranges.map((serves) => ({ serves })),
            );
            const found = located.views.map(({ serves }, index) => ({
              serves,
              points: [...ordered.offsets].slice(located.first[index], located.end[index]),
            }));
            const expected = ranges
              .map((serves) => ({
                serves,
                points: [...ordered.offsets].filter((offset) => space.contains(serves, points[offset]!)),
              }))
              .filter((entry) => entry.points.length > 0);
            expect(found).toEqual(expected);
          }),
        );
      };
      check(spaceCase as SpaceCase<unknown>);
    });
  }

  it("names the view whose serves is no range of the space", () => {
    const good = view(0, 100);
    const bad: readonly unknown[] = [
      { serves: undefined },
      { serves: "0-10" },
      {},
      { serves: { from: 10, to: 9 } },
      { serves: { from: 0n, to: 9n } },
      { serves: { from: 0, to: Number.POSITIVE_INFINITY } },
      { serves: { from: infinity, to: infinity } },
      { serves: { from: 0 } },
      { serves: { from: Number.NaN, to: 5 } },
      {
        get serves(): never {
          throw new Error("I am gone.");
        },
      },
    ];
    for (const one of bad) {
      const error = errorOf([good, one]);
      expect(error.code).toBe("invalid-argument");
      expect(error.message).toContain("views.at(1).serves");
    }
    expect(errorOf([good, { serves: { from: 10, to: 9 } }]).message).toBe(
      "views.at(1).serves cannot be used. A range of hash16 ends at or after its start, and this one runs from the number 10 to the number 9.",
    );
  });

  it("names what is no view", () => {
    for (const one of [undefined, null, 7, "view", true]) {
      const error = errorOf([view(0, 100), one]);
      expect(error.code).toBe("invalid-argument");
      expect(error.message).toContain("views.at(1)");
    }
    expect(errorOf(new Array(3)).message).toContain("views.at(0)");
  });

  it("refuses a list that is none, or whose length is no length", () => {
    const at = (): unknown => view(0, 100);
    const lengths = [undefined, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "2", 2n, 2 ** 53];
    for (const views of [undefined, null, 5, "views", new Set(), { length: 1 }, { at }]) {
      expect(errorOf(views).code).toBe("invalid-argument");
    }
    for (const length of lengths) expect(errorOf({ length, at }).code).toBe("invalid-argument");
  });

  it("says so when the length of a list promises more views than there are", () => {
    const views = [view(0, 100), view(5, 200)];
    const error = errorOf({ length: 5, at: (index: number) => views[index] });
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain("views.at(2) gives undefined although the length of the list is 5");
  });

  it("gives what a list throws as the cause", () => {
    const cause = new Error("The registry is closed.");
    const broken = {
      length: 1,
      at: (): never => {
        throw cause;
      },
    };
    expect(errorOf(broken).cause).toBe(cause);
  });

  it("reads each view and each bound once, so that one that changes its mind does no harm", () => {
    let reads = 0;
    const fickle = {
      length: 1,
      at: () => ({
        get serves() {
          // Backwards from the second time on.
          reads++;
          return { from: reads === 1 ? 0 : 50, to: 30 };
        },
      }),
    };
    expect([...locateViews(sorted, fickle).end]).toEqual([3]);
    expect(reads).toBe(1);
  });

  it("compares O(log n) times for each bound, and once for bounds that it knows", () => {
    let compared = 0;
    const space = {
      ...hash64,
      order: (a: Parameters<typeof hash64.order>[0], b: Parameters<typeof hash64.order>[1]) => {
        compared++;
        return hash64.order(a, b);
      },
    };
    const points = Array.from({ length: 1 << 14 }, (_, index) => BigInt(index) << 50n);
    const ordered = sortPoints(space, points);
    const slices = Array.from({ length: 99 }, (_, index) => ({
      serves: { from: BigInt(index) << 56n, to: BigInt(index + 1) << 56n },
    }));
    compared = 0;
    locateViews(ordered, [...slices, ...slices, ...slices]);
    // 100 bounds, and whether a range is backwards for each of the views.
    expect(compared).toBeLessThanOrEqual(100 * 15 + 3 * 99);
  });
});
