import type { Bound, Range } from "./range.js";

/**
 * An ordered set of points with a lowest one, and the arithmetic of half-open ranges over it.
 *
 * The functions do not use `this`, so they can be passed around: `keys.sort(utf8Keys.compare)`.
 * All of them check what they are given and throw a `SpaceError`: "mixed-spaces" for a value of another
 * space's type, "invalid-point" for what is no point, "invalid-range" for what is no range or runs
 * backwards (`from` above `to`). Range arguments are plain objects and are never kept or changed; every range
 * that comes out is frozen and, where a point is something that can be changed (`byteKeys`), has its own copy of it.
 */
export interface Space<P> {
  /** The name of the space, for messages and logs. */
  readonly kind: string;
  /** The lowest point. */
  readonly minimum: P;

  /** Whether the value is a point of this space. Never throws; `infinity` is not a point. */
  readonly isPoint: (value: unknown) => value is P;
  /** Returns the value if it is a point. For values that no compiler has checked. */
  readonly point: (value: unknown) => P;
  /** -1 when `a` is before `b`, 0 when they are the same, 1 when `a` is after `b`. `infinity` is after every point. */
  readonly compare: (a: Bound<P>, b: Bound<P>) => -1 | 0 | 1;
  /** The lower of the two, `a` when they are the same. */
  readonly min: (a: Bound<P>, b: Bound<P>) => Bound<P>;
  /** The higher of the two, `a` when they are the same. */
  readonly max: (a: Bound<P>, b: Bound<P>) => Bound<P>;
  /** The text of a point, one for each point; `inf` for `infinity`. */
  readonly format: (bound: Bound<P>) => string;
  /** Reads what `format` writes for a point. `inf` is not read as `infinity`, since it may be a key. */
  readonly parse: (text: string) => P;

  /** Makes the range of the points from `from` (inclusive) to `to` (exclusive), frozen. */
  readonly range: (from: P, to: Bound<P>) => Range<P>;
  /** Whether the range has no points. */
  readonly isEmpty: (range: Range<P>) => boolean;
  /** Whether the point is in the range. False for `infinity`, also when `infinity` is the range's end. */
  readonly contains: (range: Range<P>, point: Bound<P>) => boolean;
  /** Whether some point is in both. Adjacent ranges do not overlap, and an empty range overlaps nothing. */
  readonly overlaps: (a: Range<P>, b: Range<P>) => boolean;
  /** Whether both have the same points. So any two empty ranges are equal, wherever they stand. */
  readonly equals: (a: Range<P>, b: Range<P>) => boolean;
  /** The points that are in both, or undefined when there are none. Never an empty range. */
  readonly intersect: (a: Range<P>, b: Range<P>) => Range<P> | undefined;
  /** The points of `range` that are not in `other`: none, one or two ranges, ascending, none of them empty. */
  readonly subtract: (range: Range<P>, other: Range<P>) => readonly Range<P>[];
  /**
   * Cuts the range at those of the points that are inside of it, in any order, and gives the pieces, ascending, none of them empty.
   * A point that comes twice, stands at the start or lies outside cuts nothing, nor does `infinity`. An empty range has no pieces.
   * O(n log n) for n points. @throws SpaceError "invalid-argument" when `points` is not iterable
   */
  readonly split: (range: Range<P>, points: Iterable<Bound<P>>) => readonly Range<P>[];
  /**
   * The points that are in any of the ranges, as the fewest ranges that have them: ascending, none empty, no two of them
   * overlapping or touching. O(n log n). @throws SpaceError "invalid-argument" when `ranges` is not iterable
   */
  readonly coalesce: (ranges: Iterable<Range<P>>) => readonly Range<P>[];
  /** `[from, to)` for people and logs. Keys are quoted, so that the empty key and the key `inf` can be told. */
  readonly formatRange: (range: Range<P>) => string;

  /** As `compare`, for those who compare much: unlike everything above it checks nothing, so use it with what was checked. */
  readonly order: (a: Bound<P>, b: Bound<P>) => -1 | 0 | 1;
  /**
   * A number for each point that never falls where the points rise. So different numbers decide an order without `order`, and
   * only equal ones leave it open, as for keys that start with the same six bytes. Finite; checks nothing.
   */
  readonly rank: (point: P) => number;
  /**
   * Prepares a binary search over ascending, distinct points. The function it returns gives the index of the last
   * of them that is at or before `point`, or -1 when all are after it. It allocates nothing and, unlike
   * most of the above, checks nothing: `PartitionedRange` is the checked form.
   */
  readonly bisect: (starts: readonly P[]) => (point: P) => number;
}

/** A space with finitely many points, numbered from 0 in their order. */
export interface FiniteSpace<P> extends Space<P> {
  /** How many points there are. */
  readonly size: bigint;
  /** The point with that number. @throws SpaceError "invalid-point" when it is not in `0n` to `size - 1n`. */
  readonly pointAt: (index: bigint) => P;
}
