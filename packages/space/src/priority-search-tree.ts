import { type Bound, infinity, type Range } from "./range.js";
import type { RangeEntry } from "./range-entry.js";
import { type RankWriter, rankWriter } from "./rank-writer.js";
import type { Space } from "./space.js";

/** What the tree keeps. The serial numbers make equal ranges different, so that the order by (start, serial) is strict. */
export interface Item<P, V> {
  readonly entry: RangeEntry<P, V>;
  /** The same as the entry's, and never given away. */
  readonly range: Range<P>;
  readonly serial: number;
  readonly startRank: number;
  /** Infinity where the range has no end. */
  readonly endRank: number;
}

export type Visitor<P, V> = (value: V, range: Range<P>) => void;

export function rankOf<P>(space: Space<P>, bound: Bound<P>): number {
  return bound === infinity ? Number.POSITIVE_INFINITY : space.rank(bound);
}

/** No child may have more than this part of a subtree, and one item. */
const heaviestPart = 0.7;
/** More than the depth of any tree that fits into memory: log(2 ** 31) / log(1 / 0.7) is 60. */
const deepest = 128;
const initialCapacity = 16;

// In `#numbers` a node has four places: the rank of its item's end, of its item's start, of its split; and in the fourth,
// seen through `#links`, its two children. So a query reads 32 bytes a node, and they lie together.
const stride = 4;
const linkStride = 2 * stride;
const left = 6;
const right = 7;

/**
 * A priority search tree: E. M. McCreight, "Priority search trees", SIAM Journal on Computing 14 (1985). A search tree by
 * (start, serial) that is also a heap by end: each node has a split, the items below the split are to its left and the
 * others to its right, except for the one with the highest end, which is in the node itself.
 *
 * Balanced by weight: A subtree in which one side has become too heavy is built anew from its items, in linear time and
 * so rarely that it costs O(log n) for each change (M. H. Overmars, "The design of dynamic data structures", 1983).
 *
 * All comparisons look at ranks first, and ask the space only where these are equal.
 */
export class PrioritySearchTree<P, V> {
  readonly #space: Space<P>;
  #root = 0;
  #capacity = initialCapacity;
  #numbers: Float64Array = new Float64Array(stride * initialCapacity);
  #links: Int32Array = new Int32Array(this.#numbers.buffer);
  /** How many nodes a subtree has. Node 0 is no node, and has none. */
  #weights: Int32Array = new Int32Array(initialCapacity);
  #items: (Item<P, V> | undefined)[] = [undefined];
  /** The start of the item that a node splits at, which may be long gone; its serial beside it. */
  #splits: (P | undefined)[] = [undefined];
  #splitSerials: number[] = [0];
  /** The first node of the list of unused ones, linked by their left children; behind them, those never used. */
  #free = 0;
  #used = 1;
  readonly #path: Int32Array = new Int32Array(deepest);
  readonly #writeRank: RankWriter<P>;
  /** The ranks of the limit and of what the ends are after, for each of the visits that are within one another. */
  #asked: Float64Array = new Float64Array(2);

  constructor(space: Space<P>) {
    this.#space = space;
    this.#writeRank = rankWriter(space);
  }

  insert(item: Item<P, V>): void {
    let carried = item;
    let depth = 0;
    let parent = 0;
    let side = left;
    let node = this.#root;
    while (node !== 0) {
      this.#path[depth++] = node;
      this.#weights[node]!++;
      const own = this.#items[node]!;
      if (this.#endsAfter(carried, own)) {
        this.#put(node, carried);
        carried = own;
      }
      parent = node;
      side = this.#isBelowSplit(carried, node) ? left : right;
      node = this.#links[linkStride * node + side]!;
    }
    const leaf = this.#allocate(carried, carried);
    this.#weights[leaf] = 1;
    if (parent === 0) this.#root = leaf;
    else this.#links[linkStride * parent + side] = leaf;
    this.#balance(depth);
  }

  /** @param item one that is in the tree */
  remove(item: Item<P, V>): void {
    let depth = 0;
    let parent = 0;
    let side = left;
    let node = this.#root;
    while (this.#items[node] !== item) {
      this.#path[depth++] = node;
      this.#weights[node]!--;
      parent = node;
      side = this.#isBelowSplit(item, node) ? left : right;
      node = this.#links[linkStride * node + side]!;
    }
    const rest = this.#pullUp(node);
    if (parent === 0) this.#root = rest;
    else this.#links[linkStride * parent + side] = rest;
    this.#balance(depth);
  }

  /**
   * Visits the items with `start < limit`, or `start <= limit` if `inclusive` is 1, and `end > after`, in no particular order.
   * O(log n + k), allocates nothing.
   *
   * @param nesting how many visits this one is within, which a visitor has begun
   */
  visit(limit: Bound<P>, inclusive: 0 | 1, after: P, visitor: Visitor<P, V>, nesting: number): void {
    const ranks = 2 * nesting;
    this.#writeRanks(limit, after, ranks);
    const limitRank = this.#asked[ranks]!;
    let node = this.#root;
    while (node !== 0 && this.#reaches(node, after, ranks)) {
      const item = this.#items[node]!;
      const startRank = this.#numbers[stride * node + 1]!;
      if (
        startRank < limitRank ||
        (startRank === limitRank && this.#space.order(item.range.from, limit) < inclusive)
      ) {
        visitor(item.entry.value, item.entry.range);
      }
      const splitRank = this.#numbers[stride * node + 2]!;
      if (
        splitRank < limitRank ||
        (splitRank === limitRank && this.#space.order(this.#splits[node]!, limit) < inclusive)
      ) {
        // What is left of such a split starts early enough.
        this.#visitAll(this.#links[linkStride * node + left]!, after, ranks, visitor);
        node = this.#links[linkStride * node + right]!;
      } else {
        node = this.#links[linkStride * node + left]!;
      }
    }
  }

  /** Visits all items of a subtree with `end > after`: below one that does not reach, none does. */
  #visitAll(subtree: number, after: P, ranks: number, visitor: Visitor<P, V>): void {
    let node = subtree;
    while (node !== 0 && this.#reaches(node, after, ranks)) {
      const { entry } = this.#items[node]!;
      visitor(entry.value, entry.range);
      this.#visitAll(this.#links[linkStride * node + left]!, after, ranks, visitor);
      node = this.#links[linkStride * node + right]!;
    }
  }

  #writeRanks(limit: Bound<P>, after: P, ranks: number): void {
    if (ranks >= this.#asked.length) {
      const more = new Float64Array(2 * (ranks + 1));
      more.set(this.#asked);
      this.#asked = more;
    }
    if (limit === infinity) this.#asked[ranks] = Number.POSITIVE_INFINITY;
    else this.#writeRank(limit, this.#asked, ranks);
    this.#writeRank(after, this.#asked, ranks + 1);
  }

  #reaches(node: number, after: P, ranks: number): boolean {
    const afterRank = this.#asked[ranks + 1]!;
    const endRank = this.#numbers[stride * node]!;
    if (endRank !== afterRank) return endRank > afterRank;
    return this.#space.order(this.#items[node]!.range.to, after) > 0;
  }

  #endsAfter(a: Item<P, V>, b: Item<P, V>): boolean {
    if (a.endRank !== b.endRank) return a.endRank > b.endRank;
    return this.#space.order(a.range.to, b.range.to) > 0;
  }

  #isBelowSplit(item: Item<P, V>, node: number): boolean {
    const splitRank = this.#numbers[stride * node + 2]!;
    if (item.startRank !== splitRank) return item.startRank < splitRank;
    const order = this.#space.order(item.range.from, this.#splits[node]!);
    return order === 0 ? item.serial < this.#splitSerials[node]! : order < 0;
  }

  #isBelow(a: Item<P, V>, b: Item<P, V>): boolean {
    if (a.startRank !== b.startRank) return a.startRank < b.startRank;
    const order = this.#space.order(a.range.from, b.range.from);
    return order === 0 ? a.serial < b.serial : order < 0;
  }

  #put(node: number, item: Item<P, V>): void {
    this.#items[node] = item;
    this.#numbers[stride * node] = item.endRank;
    this.#numbers[stride * node + 1] = item.startRank;
  }

  /** Removes a subtree's own item, fills the place from below and so on down. Returns the subtree, 0 when it is empty now. */
  #pullUp(subtree: number): number {
    let parent = 0;
    let side = left;
    let node = subtree;
    for (;;) {
      this.#weights[node]!--;
      const low = this.#links[linkStride * node + left]!;
      const high = this.#links[linkStride * node + right]!;
      if (low === 0 && high === 0) break;
      parent = node;
      side =
        high === 0 || (low !== 0 && !this.#endsAfter(this.#items[high]!, this.#items[low]!)) ? left : right;
      node = side === left ? low : high;
      this.#put(parent, this.#items[node]!);
    }
    this.#release(node);
    if (parent === 0) return 0;
    this.#links[linkStride * parent + side] = 0;
    return subtree;
  }

  /** Builds the highest subtree on the path anew in which one side has become too heavy. */
  #balance(depth: number): void {
    for (let index = 0; index < depth; index++) {
      const node = this.#path[index]!;
      const low = this.#weights[this.#links[linkStride * node + left]!]!;
      const high = this.#weights[this.#links[linkStride * node + right]!]!;
      if (Math.max(low, high) <= heaviestPart * this.#weights[node]! + 1) continue;
      const sorted: Item<P, V>[] = [];
      this.#dismantle(node, [], sorted);
      const built = this.#build(sorted, 0, sorted.length);
      if (index === 0) this.#root = built;
      else {
        const parent = linkStride * this.#path[index - 1]!;
        this.#links[parent + (this.#links[parent + left] === node ? left : right)] = built;
      }
      return;
    }
  }

  /**
   * Releases a subtree's nodes and appends its items, with the carried ones, to `sorted`, in order.
   *
   * @param carried those of its ancestors' items that belong into it, in order. Few, all in all: half of the nodes are leaves, a
   * quarter is one above them, so this takes linear time.
   */
  #dismantle(node: number, carried: Item<P, V>[], sorted: Item<P, V>[]): void {
    if (node === 0) {
      for (const item of carried) sorted.push(item);
      return;
    }
    const item = this.#items[node]!;
    const place = carried.findIndex((other) => this.#isBelow(item, other));
    carried.splice(place < 0 ? carried.length : place, 0, item);
    const cut = carried.findIndex((other) => !this.#isBelowSplit(other, node));
    const above = cut < 0 ? [] : carried.splice(cut);
    const low = this.#links[linkStride * node + left]!;
    const high = this.#links[linkStride * node + right]!;
    this.#release(node);
    this.#dismantle(low, carried, sorted);
    this.#dismantle(high, above, sorted);
  }

  /** Makes a tree of the items from `low` to below `high`, halving them, then takes the first of each two heaps. Linear time. */
  #build(sorted: readonly Item<P, V>[], low: number, high: number): number {
    if (high - low === 1) {
      const leaf = this.#allocate(sorted[low]!, sorted[low]!);
      this.#weights[leaf] = 1;
      return leaf;
    }
    const middle = (low + high) >>> 1;
    let lower = this.#build(sorted, low, middle);
    let upper = this.#build(sorted, middle, high);
    const first = this.#items[lower]!;
    const second = this.#items[upper]!;
    const fromUpper = this.#endsAfter(second, first);
    if (fromUpper) upper = this.#pullUp(upper);
    else lower = this.#pullUp(lower);
    const node = this.#allocate(fromUpper ? second : first, sorted[middle]!);
    this.#weights[node] = 1 + this.#weights[lower]! + this.#weights[upper]!;
    this.#links[linkStride * node + left] = lower;
    this.#links[linkStride * node + right] = upper;
    return node;
  }

  /** A node without children. */
  #allocate(item: Item<P, V>, split: Item<P, V>): number {
    let node = this.#free;
    if (node !== 0) {
      this.#free = this.#links[linkStride * node + left]!;
    } else {
      node = this.#used++;
      if (node === this.#capacity) this.#grow();
    }
    this.#put(node, item);
    this.#numbers[stride * node + 2] = split.startRank;
    this.#splits[node] = split.range.from;
    this.#splitSerials[node] = split.serial;
    this.#links[linkStride * node + left] = 0;
    this.#links[linkStride * node + right] = 0;
    return node;
  }

  #release(node: number): void {
    this.#items[node] = undefined;
    this.#splits[node] = undefined;
    this.#weights[node] = 0;
    this.#links[linkStride * node + left] = this.#free;
    this.#free = node;
  }

  #grow(): void {
    this.#capacity *= 2;
    const numbers = new Float64Array(stride * this.#capacity);
    const weights = new Int32Array(this.#capacity);
    numbers.set(this.#numbers);
    weights.set(this.#weights);
    this.#numbers = numbers;
    this.#links = new Int32Array(numbers.buffer);
    this.#weights = weights;
  }
}
