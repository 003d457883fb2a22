import { ownRange } from "./own-range.js";
import { type Bound, infinity, type Range } from "./range.js";
import type { RangeEntry } from "./range-entry.js";
import { build, concat, cut, lastStart, link, type MaybeTree, sizeOf, walk } from "./range-tree.js";
import type { Space } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";

export interface RangeMapOptions<V> {
  /** Whether two values are the same, for `coalesce`. Default: `Object.is`. */
  readonly equals?: (a: V, b: V) => boolean;
}

/**
 * Values by range, where each point has one value or none: "who has this point now?".
 *
 * The ranges are disjoint and never empty. They stay as they were assigned, also beside a neighbour with the same
 * value, until `split` cuts them, `coalesce` joins them, or another range takes points away from them.
 *
 * An iteration gives the entries in ascending order, as they were when it began, whatever happens to the map meanwhile.
 * n is the number of ranges; nothing here takes longer than it says, not even once.
 */
export class RangeMap<P, V> implements Iterable<RangeEntry<P, V>> {
  readonly space: Space<P>;
  readonly #equals: (a: V, b: V) => boolean;
  #tree: MaybeTree<P, V>;

  /** @throws SpaceError "invalid-argument" when `equals` is no function */
  constructor(space: Space<P>, { equals = Object.is }: RangeMapOptions<V> = {}) {
    if (typeof equals !== "function") {
      throw new SpaceError(
        "invalid-argument",
        `The option \`equals\` is a function, and this is ${describeValue(equals)}.`,
      );
    }
    this.space = space;
    this.#equals = equals;
  }

  /** How many ranges have a value. O(1). */
  get size(): number {
    return sizeOf(this.#tree);
  }

  /** The value at a point, or undefined where there is none, as at `infinity`. O(log n), allocates nothing. */
  get(point: Bound<P>): V | undefined {
    return this.entryAt(point)?.value;
  }

  /** The whole range around a point, with its value, frozen; or undefined where there is none. O(log n), allocates nothing. */
  entryAt(point: Bound<P>): RangeEntry<P, V> | undefined {
    if (point === infinity) return undefined;
    this.space.point(point);
    const entry = lastStart(this.space, this.#tree, point, false);
    return entry !== undefined && this.space.order(point, entry.range.to) < 0 ? entry : undefined;
  }

  /**
   * Gives all points of the range this value, and makes the range an entry of its own. What was there before is cut off or
   * replaced. An empty range changes nothing. O(log n), however many ranges are replaced.
   */
  assign(range: Range<NoInfer<P>>, value: V): void {
    const own = ownRange(this.space, range);
    if (this.space.isEmpty(own)) return;
    const [below, , above] = this.#cutOut(own);
    this.#tree = link(below, Object.freeze({ range: own, value }), above);
  }

  /** Takes the value away from all points of the range. Returns whether any of them had one. O(log n). */
  delete(range: Range<NoInfer<P>>): boolean {
    const own = ownRange(this.space, range);
    if (this.space.isEmpty(own)) return false;
    const [below, inside, above] = this.#cutOut(own);
    if (inside === undefined) return false;
    this.#tree = concat(below, above);
    return true;
  }

  /** Takes everything away. O(1). */
  clear(): void {
    this.#tree = undefined;
  }

  /** Cuts the range around the point in two with the same value. Returns whether there was one that starts before it. O(log n). */
  split(at: P): boolean {
    const entry = this.entryAt(this.space.point(at));
    if (entry === undefined || this.space.order(entry.range.from, at) === 0) return false;
    const [below, above] = cut(this.space, this.#tree, at);
    this.#tree = concat(below, above);
    return true;
  }

  /**
   * Joins ranges that touch and have equal values. Of values that are equal but not the same the lowest range's stays.
   *
   * @param within joins only at boundaries in this range or at one of its two ends, so that after `assign(range, value)` a
   * `coalesce(range)` is enough. O(log n + k) for k ranges in or at it. Default: everywhere, O(n).
   * @returns whether there were any
   */
  coalesce(within?: Range<NoInfer<P>>): boolean {
    const { order } = this.space;
    let low: P = this.space.minimum;
    let high: Bound<P> = infinity;
    if (within !== undefined) {
      const own = ownRange(this.space, within);
      low = own.from;
      high = own.to;
      // Whole entries, since a cut would put boundaries where there are none.
      const before = lastStart(this.space, this.#tree, low, true);
      if (before !== undefined && order(before.range.to, low) >= 0) low = before.range.from;
      const last = lastStart(this.space, this.#tree, high, false);
      if (last !== undefined && order(last.range.to, high) > 0) high = last.range.to;
      if (order(low, high) === 0) return false;
    }
    const joined: RangeEntry<P, V>[] = [];
    let count = 0;
    for (const entry of walk(this.space, this.#tree, low, high)) {
      count++;
      const previous = joined.at(-1);
      if (
        previous !== undefined &&
        order(previous.range.to, entry.range.from) === 0 &&
        this.#equals(previous.value, entry.value)
      ) {
        const range = this.space.range(previous.range.from, entry.range.to);
        joined[joined.length - 1] = Object.freeze({ range, value: previous.value });
      } else {
        joined.push(entry);
      }
    }
    if (joined.length === count) return false;
    const [below, , above] = this.#cutOut({ from: low, to: high });
    this.#tree = concat(concat(below, build(joined, 0, joined.length)), above);
    return true;
  }

  /** The parts of the range whose points have no value, ascending, none empty or touching. O(log n + k) for k entries in it. */
  gaps(range: Range<NoInfer<P>>): readonly Range<P>[] {
    const { from, to } = ownRange(this.space, range);
    const { order } = this.space;
    const gaps: Range<P>[] = [];
    let start: Bound<P> = from;
    if (order(from, to) === 0) return gaps;
    for (const entry of walk(this.space, this.#tree, from, to)) {
      if (start !== infinity && order(start, entry.range.from) < 0) {
        gaps.push(this.space.range(start, entry.range.from));
      }
      start = entry.range.to;
    }
    if (start !== infinity && order(start, to) < 0) gaps.push(this.space.range(start, to));
    return gaps;
  }

  /**
   * The entries in ascending order, as they are now: what is changed while somebody iterates does not show.
   *
   * @param within only what is in this range: an entry that is partly in it comes with that part. Default: everything.
   */
  entries(within?: Range<NoInfer<P>>): IterableIterator<RangeEntry<P, V>> {
    if (within === undefined) return walk(this.space, this.#tree, this.space.minimum, infinity);
    return this.#clipped(ownRange(this.space, within), this.#tree);
  }

  [Symbol.iterator](): IterableIterator<RangeEntry<P, V>> {
    return this.entries();
  }

  *#clipped(within: Range<P>, tree: MaybeTree<P, V>): Generator<RangeEntry<P, V>, undefined> {
    const { from, to } = within;
    const { order } = this.space;
    if (order(from, to) === 0) return;
    for (const entry of walk(this.space, tree, from, to)) {
      const { range, value } = entry;
      const isInside = order(from, range.from) <= 0 && order(range.to, to) <= 0;
      const part = isInside ? range : this.space.intersect(range, within);
      if (part !== undefined) yield isInside ? entry : Object.freeze({ range: part, value });
    }
  }

  /** What is below the range, in it, and above. */
  #cutOut({ from, to }: Range<P>): readonly [MaybeTree<P, V>, MaybeTree<P, V>, MaybeTree<P, V>] {
    const [below, rest] = cut(this.space, this.#tree, from);
    const [inside, above] = cut(this.space, rest, to);
    return [below, inside, above];
  }
}
