import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hash16, infinity, type Range, type Space } from "../src/index.js";
import { boundsOf, inEverySpace, rangeOf, textOf } from "./every-space.js";
import { expectSpaceError } from "./expect-space-error.js";

/** Ascending, none empty, no two with a common point. */
function expectAscending<P>(space: Space<P>, ranges: readonly Range<P>[]): void {
  for (const [index, range] of ranges.entries()) {
    expect(space.isEmpty(range)).toBe(false);
    expect(Object.isFrozen(range)).toBe(true);
    const previous = ranges[index - 1];
    if (previous) expect(space.compare(previous.to, range.from)).toBeLessThanOrEqual(0);
  }
}

inEverySpace(({ space, point }) => {
  const range = rangeOf(space, point);

  describe(`ranges of ${space.kind}, against lists of points`, () => {
    it("subtract the points of the other and no more, as at most two ranges", () => {
      fc.assert(
        fc.property(range, range, (a, b) => {
          const rest = space.subtract(a, b);
          expectAscending(space, rest);
          expect(rest.length).toBeLessThanOrEqual(2);
          for (const probe of boundsOf(space, [a, b])) {
            const expected = space.contains(a, probe) && !space.contains(b, probe);
            expect(rest.some((part) => space.contains(part, probe))).toBe(expected);
          }
          // Never in more pieces than it takes.
          expect(textOf(space, space.coalesce(rest))).toEqual(textOf(space, rest));
        }),
        { numRuns: 500 },
      );
    });

    it("split into pieces that touch and together are the range, with a boundary at each point inside", () => {
      fc.assert(
        fc.property(range, fc.array(fc.oneof(point, fc.constant(infinity))), (whole, points) => {
          const pieces = space.split(whole, points);
          expectAscending(space, pieces);
          const inside = points.filter(
            (cut) => space.contains(whole, cut) && space.compare(cut, whole.from) !== 0,
          );
          expect(pieces.length).toBe(
            space.isEmpty(whole) ? 0 : 1 + new Set(inside.map((cut) => space.format(cut))).size,
          );
          for (const [index, piece] of pieces.entries()) {
            const next = pieces[index + 1];
            expect(space.compare(piece.to, next ? next.from : whole.to)).toBe(0);
            if (next) expect(inside.some((cut) => space.compare(cut, next.from) === 0)).toBe(true);
          }
          if (pieces[0]) expect(space.compare(pieces[0].from, whole.from)).toBe(0);
        }),
        { numRuns: 500 },
      );
    });

    it("coalesce into the same points, with a gap between any two ranges", () => {
      fc.assert(
        fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
          const union = space.coalesce(ranges);
          expectAscending(space, union);
          for (const [index, part] of union.entries()) {
            if (index > 0) expect(space.compare(union[index - 1]!.to, part.from)).toBe(-1);
          }
          for (const probe of boundsOf(space, ranges)) {
            expect(union.some((part) => space.contains(part, probe))).toBe(
              ranges.some((part) => space.contains(part, probe)),
            );
          }
          // Every end is the end of some range, so nothing is covered between two bounds that was not.
          for (const { to } of union)
            expect(ranges.some((part) => space.compare(part.to, to) === 0)).toBe(true);
        }),
        { numRuns: 500 },
      );
    });

    it("put together again what was split or subtracted", () => {
      fc.assert(
        fc.property(range, range, fc.array(point), (a, b, points) => {
          const whole = space.isEmpty(a) ? [] : textOf(space, [a]);
          expect(textOf(space, space.coalesce(space.split(a, points)))).toEqual(whole);
          const shared = space.intersect(a, b);
          const parts = [...space.subtract(a, b), ...(shared ? [shared] : [])];
          expect(textOf(space, space.coalesce(parts))).toEqual(whole);
        }),
        { numRuns: 300 },
      );
    });
  });
});

describe("subtract", () => {
  const range = hash16.range(10, 20);

  it("leaves what is on both sides", () => {
    expect(hash16.subtract(range, { from: 12, to: 15 })).toEqual([
      { from: 10, to: 12 },
      { from: 15, to: 20 },
    ]);
    expect(hash16.subtract({ from: 0, to: infinity }, range)).toEqual([
      { from: 0, to: 10 },
      { from: 20, to: infinity },
    ]);
  });

  it("leaves one range, or none, where the other covers an end, or both", () => {
    expect(hash16.subtract(range, { from: 0, to: 15 })).toEqual([{ from: 15, to: 20 }]);
    expect(hash16.subtract(range, { from: 15, to: infinity })).toEqual([{ from: 10, to: 15 }]);
    expect(hash16.subtract(range, { from: 0, to: infinity })).toEqual([]);
    expect(hash16.subtract(range, range)).toEqual([]);
  });

  it("leaves everything in one piece when the other is empty or only touches", () => {
    for (const other of [hash16.range(15, 15), hash16.range(0, 10), hash16.range(20, infinity)]) {
      expect(hash16.subtract(range, other)).toEqual([range]);
    }
  });
});

describe("split", () => {
  it("takes the points in any order, as often as they come, and leaves those outside alone", () => {
    expect(hash16.split({ from: 10, to: 20 }, [15, 5, 10, 12, 15, 20, 99, infinity])).toEqual([
      { from: 10, to: 12 },
      { from: 12, to: 15 },
      { from: 15, to: 20 },
    ]);
    expect(hash16.split({ from: 10, to: 20 }, [])).toEqual([{ from: 10, to: 20 }]);
    expect(hash16.split({ from: 10, to: 10 }, [10])).toEqual([]);
  });

  it.each([undefined, null, 7, "15", {}])("refuses %o for points", (points) => {
    expectSpaceError("invalid-argument", () =>
      hash16.split({ from: 0, to: 9 }, points as unknown as Iterable<number>),
    );
  });

  it("refuses what is no point among them, outside of the range too", () => {
    expectSpaceError("invalid-point", () => hash16.split({ from: 0, to: 9 }, [3, 65536]));
    expectSpaceError("invalid-point", () => hash16.split({ from: 0, to: 0 }, [Number.NaN]));
  });
});

describe("coalesce", () => {
  it("joins what overlaps or touches and drops what is empty", () => {
    function* ranges(): Generator<Range<number>> {
      yield { from: 30, to: infinity };
      yield { from: 5, to: 9 };
      yield { from: 20, to: 20 };
      yield { from: 0, to: 5 };
      yield { from: 2, to: 3 };
      yield { from: 40, to: 50 };
    }
    expect(hash16.coalesce(ranges())).toEqual([
      { from: 0, to: 9 },
      { from: 30, to: infinity },
    ]);
    expect(hash16.coalesce([])).toEqual([]);
    expect(hash16.coalesce([hash16.range(4, 4)])).toEqual([]);
  });

  it("refuses what is no list of ranges, and ranges that run backwards", () => {
    for (const ranges of [undefined, "ranges", 5, { from: 0, to: 1 }]) {
      expectSpaceError("invalid-argument", () => hash16.coalesce(ranges as unknown as Range<number>[]));
    }
    expectSpaceError("invalid-range", () => hash16.coalesce([{ from: 5, to: 4 }]));
    expectSpaceError("invalid-range", () => hash16.coalesce([undefined as unknown as Range<number>]));
  });
});
