import { type Bound, hash16, hash64, infinity, type Range, utf8Keys } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FanoutError } from "../src/errors.js";
import { partition } from "../src/partition.js";
import { rangesOf, type SpaceCase, spaceCases } from "./plan-points.js";

const view = <P>(from: P, to: Bound<P>): { readonly serves: Range<P> } => ({ serves: { from, to } });

/** The start points of a partition of hash16. */
function starts(range: Range<number>, ...views: readonly { readonly serves: Range<number> }[]): number[] {
  return [...partition(range, views).startPoints];
}

/** The error for arguments that no compiler would let through. */
function errorOf(range: unknown, views: unknown, options?: unknown): FanoutError {
  try {
    partition(range as Range<number>, views as [], options as object);
  } catch (error) {
    if (error instanceof FanoutError) return error;
    throw error;
  }
  throw new Error("partition accepted the arguments.");
}

describe("partition", () => {
  const range: Range<number> = { from: 100, to: 200 };

  it("gives one partition for one view that covers the range", () => {
    expect(starts(range, view(100, 200))).toEqual([100]);
    expect(starts(range, view(0, infinity))).toEqual([100]);
  });

  it("gives one partition for a range that nobody serves", () => {
    expect(starts(range)).toEqual([100]);
    expect(starts(range, view(0, 100), view(200, 300))).toEqual([100]);
  });

  it("keeps the gaps between views as partitions that nobody serves", () => {
    expect(starts(range, view(120, 130), view(150, 160))).toEqual([100, 120, 130, 150, 160]);
  });

  it("splits where views overlap, so that each serves complete partitions", () => {
    expect(starts(range, view(50, 150), view(130, 180))).toEqual([100, 130, 150, 180]);
  });

  it("merges the bounds that several views have", () => {
    expect(starts(range, view(100, 150), view(100, 150), view(150, 200), view(150, 200))).toEqual([100, 150]);
  });

  it("does not split at a view with an empty range", () => {
    expect(starts(range, view(150, 150))).toEqual([100]);
  });

  it("gives no partition for an empty range", () => {
    expect(partition({ from: 100, to: 100 }, [view(0, 200)]).length).toBe(0);
  });

  it("covers exactly the range, up to infinity too", () => {
    const parts = partition({ from: 7n, to: infinity }, [view(9n, infinity), view(0n, 20n)]);
    expect([...parts]).toEqual([
      { from: 7n, to: 9n },
      { from: 9n, to: 20n },
      { from: 20n, to: infinity },
    ]);
    expect(parts.space).toBe(hash64);
  });

  it("takes the space from the start of the range, or the one that it is given", () => {
    expect(partition({ from: "a", to: "b" }, []).space).toBe(utf8Keys);
    const space = { ...hash16, kind: "mine" };
    expect(partition(range, [], { space }).space).toBe(space);
  });

  it("splits at the order of UTF-8 bytes, which is not that of JavaScript", () => {
    const parts = partition({ from: "\uffff", to: infinity }, [view("\u{10000}", infinity)]);
    expect(parts.startPoints).toEqual(["\uffff", "\u{10000}"]);
  });

  for (const spaceCase of spaceCases) {
    it(`cuts ranges of ${spaceCase.name} at the bounds of views and nowhere else`, () => {
      const check = <P>(one: SpaceCase<P>): void => {
        const { space } = one;
        const ranges = fc.array(rangesOf(one), { maxLength: 8 });
        fc.assert(
          fc.property(rangesOf(one), ranges, (range, ranges) => {
            const parts = partition(
              range,
              ranges.map((serves) => ({ serves })),
              { space },
            );
            expect(space.equals(parts.overallRange, range)).toBe(true);
            expect(parts.length === 0).toBe(space.isEmpty(range));
            for (const part of parts) {
              for (const served of ranges) {
                const shared = space.intersect(part, served);
                if (shared !== undefined) expect(space.equals(shared, part)).toBe(true);
              }
            }
            const bounds = ranges
              .filter((served) => !space.isEmpty(served))
              .flatMap(({ from, to }): Bound<P>[] => [from, to]);
            for (const start of parts.startPoints.slice(1)) {
              expect(bounds.some((bound) => space.compare(bound, start) === 0)).toBe(true);
            }
          }),
        );
      };
      check(spaceCase as SpaceCase<unknown>);
    });
  }

  it("refuses what is no range, no view or no space of these points", () => {
    for (const bad of [undefined, null, 5, {}, { from: 9, to: 1 }, { from: infinity, to: infinity }]) {
      expect(errorOf(bad, []).code).toBe("invalid-argument");
    }
    expect(errorOf({ from: 1, to: 9n }, []).code).toBe("invalid-argument");
    expect(errorOf(range, undefined).code).toBe("invalid-argument");
    expect(errorOf(range, [view(0, 150), view(9n, 10n)]).message).toContain("views.at(1).serves");
    expect(errorOf(range, [view(0, 150), undefined]).message).toContain("views.at(1)");
    expect(errorOf(range, [], { space: hash64 }).code).toBe("invalid-argument");
  });

  it("looks at the views of an empty range too", () => {
    expect(errorOf({ from: 5, to: 5 }, [view(9, 1)]).message).toContain("views.at(0).serves");
  });
});
