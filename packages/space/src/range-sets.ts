import { type Bound, infinity, type Range } from "./range.js";
import { checkIterable } from "./space-error.js";

/** What the functions below need of a space that is just being made. */
export interface RangeParts<P> {
  readonly kind: string;
  readonly bound: (value: unknown) => Bound<P>;
  readonly checkRange: (range: Range<P>) => Range<P>;
  /** The order of bounds that were checked. */
  readonly order: (a: Bound<P>, b: Bound<P>) => -1 | 0 | 1;
  /** The range of bounds that were checked. */
  readonly makeRange: (from: P, to: Bound<P>) => Range<P>;
}

/** The functions of a space that take ranges apart and put them together. */
export interface RangeSets<P> {
  readonly subtract: (range: Range<P>, other: Range<P>) => readonly Range<P>[];
  readonly split: (range: Range<P>, points: Iterable<Bound<P>>) => readonly Range<P>[];
  readonly coalesce: (ranges: Iterable<Range<P>>) => readonly Range<P>[];
}

export function rangeSets<P>(parts: RangeParts<P>): RangeSets<P> {
  const { kind, bound, checkRange, order, makeRange } = parts;

  function subtract(range: Range<P>, other: Range<P>): readonly Range<P>[] {
    const { from, to } = checkRange(range);
    const { from: otherFrom, to: otherTo } = checkRange(other);
    const rest: Range<P>[] = [];
    if (order(from, to) === 0) return rest;
    // An empty range takes nothing away, and in particular cuts nothing.
    if (order(otherFrom, otherTo) === 0) return [makeRange(from, to)];
    if (order(from, otherFrom) < 0) rest.push(makeRange(from, order(otherFrom, to) < 0 ? otherFrom : to));
    if (otherTo !== infinity && order(otherTo, to) < 0) {
      rest.push(makeRange(order(otherTo, from) > 0 ? otherTo : from, to));
    }
    return rest;
  }

  function split(range: Range<P>, points: Iterable<Bound<P>>): readonly Range<P>[] {
    const { from, to } = checkRange(range);
    checkIterable(points, `What a range of ${kind} is split at is an iterable of points`);
    const inside: P[] = [];
    for (const value of points) {
      const point = bound(value);
      if (point !== infinity && order(from, point) < 0 && order(point, to) < 0) inside.push(point);
    }
    inside.sort(order);
    const pieces: Range<P>[] = [];
    let start = from;
    for (const point of inside) {
      if (order(start, point) === 0) continue;
      pieces.push(makeRange(start, point));
      start = point;
    }
    if (order(start, to) < 0) pieces.push(makeRange(start, to));
    return pieces;
  }

  function coalesce(ranges: Iterable<Range<P>>): readonly Range<P>[] {
    checkIterable(ranges, `What is coalesced is an iterable of ranges of ${kind}`);
    const sorted: Range<P>[] = [];
    for (const range of ranges) {
      const { from, to } = checkRange(range);
      if (order(from, to) < 0) sorted.push({ from, to });
    }
    sorted.sort((a, b) => order(a.from, b.from));
    const union: Range<P>[] = [];
    const first = sorted[0];
    if (first === undefined) return union;
    let { from, to } = first;
    for (const next of sorted) {
      if (order(next.from, to) > 0) {
        union.push(makeRange(from, to));
        ({ from, to } = next);
      } else if (order(next.to, to) > 0) {
        to = next.to;
      }
    }
    union.push(makeRange(from, to));
    return union;
  }

  return { subtract, split, coalesce };
}
