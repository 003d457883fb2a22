import { ownRange } from "./own-range.js";
import { type Item, PrioritySearchTree, rankOf, type Visitor } from "./priority-search-tree.js";
import { type Bound, infinity, type Range } from "./range.js";
import type { RangeEntry } from "./range-entry.js";
import type { Space } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";

/**
 * Values by range, where ranges may overlap and be equal: "which of them have this point?". The same value may be there any number
 * of times, also under one range.
 *
 * A query takes O(log n + k) for k results, whatever the ranges are like, and a change O(log n) amortized; now and
 * then one of them takes O(n). Queries give results in no particular order, and not even twice in the same one after a change.
 * Iteration is over the entries, in the order in which they were added, and goes on through changes as that of a `Set`.
 */
export class RangeIndex<P, V> implements Iterable<RangeEntry<P, V>> {
  readonly space: Space<P>;
  readonly #items: Map<RangeEntry<P, V>, Item<P, V>> = new Map();
  #tree: PrioritySearchTree<P, V>;
  #serial = 0;
  #visits = 0;

  constructor(space: Space<P>) {
    this.space = space;
    this.#tree = new PrioritySearchTree(space);
  }

  /** How many entries there are, those with empty ranges included. */
  get size(): number {
    return this.#items.size;
  }

  /**
   * Adds an entry and returns it, frozen, as the handle to delete it by. An empty range is kept too, though no query finds it.
   * O(log n) amortized.
   *
   * @throws SpaceError "invalid-range", "invalid-point", "mixed-spaces", or "concurrent-change" inside of a visitor
   */
  add(range: Range<NoInfer<P>>, value: V): RangeEntry<P, V> {
    this.#refuseChangeInVisit();
    const entry: RangeEntry<P, V> = Object.freeze({ range: ownRange(this.space, range), value });
    // A second copy, out of reach for whoever gets the entry and may write to its bytes.
    const own = ownRange(this.space, entry.range);
    const item: Item<P, V> = {
      entry,
      range: own,
      serial: this.#serial++,
      startRank: this.space.rank(own.from),
      endRank: rankOf(this.space, own.to),
    };
    this.#items.set(entry, item);
    if (!this.space.isEmpty(own)) this.#tree.insert(item);
    return entry;
  }

  /**
   * Deletes an entry that `add` has returned. O(log n) amortized.
   *
   * @returns whether it was there: false for one that was deleted before, or is of another index
   * @throws SpaceError "concurrent-change" inside of a visitor
   */
  delete(entry: RangeEntry<P, V>): boolean {
    this.#refuseChangeInVisit();
    const item = this.#items.get(entry);
    if (item === undefined) return false;
    this.#items.delete(entry);
    // A new tree once it is empty, so that it does not stay as large as it ever was.
    if (this.#items.size === 0) this.#tree = new PrioritySearchTree(this.space);
    else if (!this.space.isEmpty(item.range)) this.#tree.remove(item);
    return true;
  }

  /**
   * Calls the visitor for each entry whose range contains the point, in no particular order. None contains `infinity`.
   * O(log n + k), and allocates nothing, so use this where `at` would make too much garbage.
   *
   * The visitor may query the index and must not change it. What it throws ends the visit and comes out.
   *
   * @throws SpaceError "invalid-point" or "mixed-spaces"; "invalid-argument" if the visitor is no function
   */
  visit(point: Bound<P>, visitor: (value: V, range: Range<P>) => void): void {
    checkVisitor(visitor);
    if (point === infinity) return;
    this.space.point(point);
    this.#visit(point, 1, point, visitor);
  }

  /** Calls the visitor for each entry whose range overlaps this one; otherwise as `visit`, but it makes a copy of the range. An empty range overlaps nothing. */
  visitOverlapping(range: Range<NoInfer<P>>, visitor: (value: V, range: Range<P>) => void): void {
    checkVisitor(visitor);
    const { from, to } = ownRange(this.space, range);
    if (this.space.order(from, to) < 0) this.#visit(to, 0, from, visitor);
  }

  /** The values of all entries whose range contains the point, in no particular order. As `visit`, in a new array. */
  at(point: Bound<P>): V[] {
    const values: V[] = [];
    this.visit(point, (value) => values.push(value));
    return values;
  }

  /** The values of all entries whose range overlaps this one, in no particular order. As `visitOverlapping`, in a new array. */
  overlapping(range: Range<NoInfer<P>>): V[] {
    const values: V[] = [];
    this.visitOverlapping(range, (value) => values.push(value));
    return values;
  }

  [Symbol.iterator](): IterableIterator<RangeEntry<P, V>> {
    return this.#items.keys();
  }

  #visit(limit: Bound<P>, inclusive: 0 | 1, after: P, visitor: Visitor<P, V>): void {
    const nesting = this.#visits++;
    try {
      this.#tree.visit(limit, inclusive, after, visitor, nesting);
    } finally {
      this.#visits = nesting;
    }
  }

  #refuseChangeInVisit(): void {
    if (this.#visits === 0) return;
    throw new SpaceError(
      "concurrent-change",
      "The visitor of a query must not change the index: take notes, and change it when the query has returned.",
    );
  }
}

function checkVisitor(visitor: unknown): void {
  if (typeof visitor === "function") return;
  throw new SpaceError("invalid-argument", `A visitor is a function, and this is ${describeValue(visitor)}.`);
}
