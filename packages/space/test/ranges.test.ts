import { describe, expect, it } from "vitest";
import {
  type Bound,
  byteKeys,
  hash16,
  hash64,
  infinity,
  type Range,
  type Space,
  utf8Keys,
} from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";
import { points16, points64, pointsBytes, pointsKeys } from "./sample-points.js";

/** A range together with the sample points it has: the oracle for everything below. */
interface Sample<P> {
  readonly range: Range<P>;
  readonly members: readonly P[];
}

/**
 * All ranges between sample points or infinity. Two ranges with such bounds have the same sample points
 * only if they have the same points, so lists of sample points decide everything.
 */
function allSamples<P>(ascending: readonly P[]): readonly Sample<P>[] {
  const bounds: readonly Bound<P>[] = [...ascending, infinity];
  return ascending.flatMap((from, first) =>
    bounds
      .slice(first)
      .map((to, size) => ({ range: { from, to }, members: ascending.slice(first, first + size) })),
  );
}

function rangesOf<P>(space: Space<P>, ascending: readonly P[]): void {
  describe(`ranges of ${space.kind}, all pairs against lists of their points`, () => {
    const samples = allSamples(ascending);
    const pairs = samples.flatMap((a) => samples.map((b) => [a, b] as const));

    /** Plain `expect` in a loop over ten thousand pairs is slow, so this collects what is wrong. */
    function wrongPairs(holds: (a: Sample<P>, b: Sample<P>) => boolean): readonly string[] {
      return pairs
        .filter(([a, b]) => !holds(a, b))
        .map(([a, b]) => `${space.formatRange(a.range)} ${space.formatRange(b.range)}`);
    }

    function common(a: Sample<P>, b: Sample<P>): readonly P[] {
      return a.members.filter((point) => b.members.includes(point));
    }

    it("contains its points, from the first inclusive to the last exclusive", () => {
      for (const { range, members } of samples) {
        expect(ascending.filter((point) => space.contains(range, point))).toEqual(members);
      }
    });

    it("contains infinity never", () => {
      for (const { range } of samples) expect(space.contains(range, infinity)).toBe(false);
    });

    it("is empty when it has no points", () => {
      for (const { range, members } of samples) expect(space.isEmpty(range)).toBe(members.length === 0);
    });

    it("overlaps another when they share a point", () => {
      expect(wrongPairs((a, b) => space.overlaps(a.range, b.range) === common(a, b).length > 0)).toEqual([]);
    });

    it("equals another when they have the same points", () => {
      expect(
        wrongPairs(
          (a, b) =>
            space.equals(a.range, b.range) ===
            (a.members.length === b.members.length && common(a, b).length === a.members.length),
        ),
      ).toEqual([]);
    });

    it("intersects another in exactly the points they share, and in nothing rather than in an empty range", () => {
      expect(
        wrongPairs((a, b) => {
          const shared = space.intersect(a.range, b.range);
          const expected = common(a, b);
          if (shared === undefined) return expected.length === 0;
          const members = ascending.filter((point) => space.contains(shared, point));
          return (
            expected.length > 0 && members.join() === expected.join() && members.length === expected.length
          );
        }),
      ).toEqual([]);
    });

    it("makes the same range as a literal, frozen", () => {
      for (const { range } of samples) {
        const made = space.range(range.from, range.to);
        expect(made).toEqual(range);
        expect(Object.isFrozen(made)).toBe(true);
      }
    });

    it("refuses ranges that run backwards, wherever they come from", () => {
      const fine: Range<P> = { from: space.minimum, to: infinity };
      for (const [low, from] of ascending.entries()) {
        for (const to of ascending.slice(0, low)) {
          const backwards = { from, to };
          expectSpaceError("invalid-range", () => space.range(from, to));
          expectSpaceError("invalid-range", () => space.contains(backwards, from));
          expectSpaceError("invalid-range", () => space.overlaps(fine, backwards));
          expectSpaceError("invalid-range", () => space.overlaps(backwards, fine));
          expectSpaceError("invalid-range", () => space.equals(fine, backwards));
          expectSpaceError("invalid-range", () => space.equals(backwards, fine));
          expectSpaceError("invalid-range", () => space.intersect(fine, backwards));
          expectSpaceError("invalid-range", () => space.intersect(backwards, fine));
          expectSpaceError("invalid-range", () => space.isEmpty(backwards));
          expectSpaceError("invalid-range", () => space.formatRange(backwards));
        }
      }
    });

    it("refuses what is no range", () => {
      for (const value of [undefined, null, 5, "[0, 5)"]) {
        expectSpaceError("invalid-range", () => space.contains(value as unknown as Range<P>, space.minimum));
      }
      expectSpaceError("invalid-point", () => space.isEmpty({} as Range<P>));
      expectSpaceError("invalid-point", () => space.isEmpty({ from: space.minimum } as Range<P>));
      expectSpaceError("invalid-point", () =>
        space.isEmpty({ from: space.minimum, to: null } as unknown as Range<P>),
      );
    });

    it("refuses a range that starts at infinity", () => {
      expectSpaceError("invalid-range", () => space.range(infinity as unknown as P, infinity));
    });
  });
}

rangesOf(hash64, points64);
rangesOf(hash16, points16);
rangesOf(utf8Keys, pointsKeys);
rangesOf(byteKeys, pointsBytes);

describe("ranges", () => {
  it("[5, 5) overlaps nothing and contains nothing, not even where it stands", () => {
    const empty = hash16.range(5, 5);
    expect(hash16.isEmpty(empty)).toBe(true);
    expect(hash16.contains(empty, 5)).toBe(false);
    for (const other of [
      hash16.range(0, 10),
      hash16.range(5, 6),
      hash16.range(4, 5),
      empty,
      hash16.range(0, infinity),
    ]) {
      expect(hash16.overlaps(empty, other)).toBe(false);
      expect(hash16.overlaps(other, empty)).toBe(false);
      expect(hash16.intersect(empty, other)).toBeUndefined();
    }
  });

  it("adjacent ranges do not overlap", () => {
    expect(hash16.overlaps(hash16.range(0, 5), hash16.range(5, 10))).toBe(false);
    expect(hash64.overlaps(hash64.range(5n, infinity), hash64.range(0n, 5n))).toBe(false);
  });

  it('["", inf) has every key and not infinity', () => {
    const all = utf8Keys.range("", infinity);
    for (const key of pointsKeys) expect(utf8Keys.contains(all, key)).toBe(true);
    expect(utf8Keys.contains(all, infinity)).toBe(false);
  });

  it("the last point of a hash space is inside only when the range ends at infinity", () => {
    expect(hash16.contains(hash16.range(0, 65535), 65535)).toBe(false);
    expect(hash16.contains(hash16.range(0, infinity), 65535)).toBe(true);
    expect(hash64.contains(hash64.range(0n, infinity), (1n << 64n) - 1n)).toBe(true);
  });

  it("are plain literals, also of a consumer's own type", () => {
    interface Owned {
      readonly from: number;
      readonly to: number | typeof infinity;
      readonly owner: string;
    }
    const owned: Owned = { from: 7, to: infinity, owner: "a" };
    expect(hash16.contains(owned, 65535)).toBe(true);
    expect(hash16.overlaps(owned, { from: 0, to: 8 })).toBe(true);
    // The check narrows to a number, so that a codec can compute with it.
    expect(owned.to === infinity ? 65535 : owned.to - 1).toBe(65535);
    expect(hash16.contains({ from: 7, to: infinity } satisfies Range<number>, 7)).toBe(true);
  });

  it("are read as they are checked, so an object that changes with every look is refused or harmless", () => {
    let looks = 0;
    const shifty = {
      from: 0,
      get to(): number {
        return looks++ % 2 === 0 ? 10 : -1;
      },
    };
    for (let round = 0; round < 2; round++) {
      looks = 0;
      expect(hash16.contains(shifty, 5)).toBe(true);
      looks = 0;
      expect(hash16.intersect(shifty, { from: 5, to: infinity })).toEqual({ from: 5, to: 10 });
      looks = 0;
      expect(hash16.subtract(shifty, { from: 5, to: infinity })).toEqual([{ from: 0, to: 5 }]);
    }
  });

  it("print half-open, keys in quotes", () => {
    expect(hash16.formatRange({ from: 0, to: 4096 })).toBe("[0, 4096)");
    expect(hash64.formatRange({ from: 10n, to: infinity })).toBe("[0x000000000000000A, inf)");
    expect(utf8Keys.formatRange({ from: "", to: infinity })).toBe('["", inf)');
    expect(utf8Keys.formatRange({ from: "a", to: "inf" })).toBe('["a", "inf")');
    expect(byteKeys.formatRange({ from: Uint8Array.of(), to: Uint8Array.of(0, 255) })).toBe("[0x, 0x00ff)");
  });
});
