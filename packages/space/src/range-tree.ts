import { type Bound, infinity } from "./range.js";
import type { RangeEntry } from "./range-entry.js";
import type { Space } from "./space.js";

/**
 * A balanced tree of disjoint ranges in ascending order. Nodes never change, so a tree that somebody holds stays as it is.
 *
 * Balanced by weight, with the parameters (3, 2) of Y. Hirai and K. Yamamoto, "Balancing weight-balanced trees", Journal of Functional
 * Programming 21 (2011); everything is made of `link`, as in G. Blelloch, D. Ferizovic and Y. Sun, "Just Join for Parallel Ordered
 * Sets", SPAA 2016. All functions take O(log n), where they do not say otherwise.
 */
export interface RangeTree<P, V> {
  readonly entry: RangeEntry<P, V>;
  readonly left: RangeTree<P, V> | undefined;
  readonly right: RangeTree<P, V> | undefined;
  readonly size: number;
}

export type MaybeTree<P, V> = RangeTree<P, V> | undefined;

/** How many times as heavy as the other one child may be. */
const heaviest = 3;
/** From how many times as heavy on a rotation is a double one. */
const doubleFrom = 2;

export function sizeOf<P, V>(tree: MaybeTree<P, V>): number {
  return tree === undefined ? 0 : tree.size;
}

function node<P, V>(left: MaybeTree<P, V>, entry: RangeEntry<P, V>, right: MaybeTree<P, V>): RangeTree<P, V> {
  return { entry, left, right, size: sizeOf(left) + 1 + sizeOf(right) };
}

function isTooHeavy<P, V>(tree: MaybeTree<P, V>, other: MaybeTree<P, V>): tree is RangeTree<P, V> {
  const size = sizeOf(tree);
  return size + sizeOf(other) > 1 && size > heaviest * sizeOf(other);
}

/** A node of children that are balanced, except that one may be a little too heavy. */
function balance<P, V>(
  left: MaybeTree<P, V>,
  entry: RangeEntry<P, V>,
  right: MaybeTree<P, V>,
): RangeTree<P, V> {
  if (isTooHeavy(right, left)) {
    const inner = right.left;
    if (inner !== undefined && inner.size >= doubleFrom * sizeOf(right.right)) {
      return node(node(left, entry, inner.left), inner.entry, node(inner.right, right.entry, right.right));
    }
    return node(node(left, entry, inner), right.entry, right.right);
  }
  if (isTooHeavy(left, right)) {
    const inner = left.right;
    if (inner !== undefined && inner.size >= doubleFrom * sizeOf(left.left)) {
      return node(node(left.left, left.entry, inner.left), inner.entry, node(inner.right, entry, right));
    }
    return node(left.left, left.entry, node(inner, entry, right));
  }
  return node(left, entry, right);
}

/** The tree of everything in `left`, then the entry, then everything in `right`, of whatever sizes. */
export function link<P, V>(
  left: MaybeTree<P, V>,
  entry: RangeEntry<P, V>,
  right: MaybeTree<P, V>,
): RangeTree<P, V> {
  if (isTooHeavy(right, left)) return balance(link(left, entry, right.left), right.entry, right.right);
  if (isTooHeavy(left, right)) return balance(left.left, left.entry, link(left.right, entry, right));
  return node(left, entry, right);
}

/** The tree of everything in `left`, then everything in `right`. */
export function concat<P, V>(left: MaybeTree<P, V>, right: MaybeTree<P, V>): MaybeTree<P, V> {
  if (left === undefined) return right;
  if (right === undefined) return left;
  let first = right;
  while (first.left !== undefined) first = first.left;
  return link(left, first.entry, withoutFirst(right));
}

function withoutFirst<P, V>(tree: RangeTree<P, V>): MaybeTree<P, V> {
  return tree.left === undefined ? tree.right : balance(withoutFirst(tree.left), tree.entry, tree.right);
}

/** What is below a point and what is not; a range with the point inside is cut in two. */
export function cut<P, V>(
  space: Space<P>,
  tree: MaybeTree<P, V>,
  at: Bound<P>,
): readonly [MaybeTree<P, V>, MaybeTree<P, V>] {
  if (tree === undefined || at === infinity) return [tree, undefined];
  const { entry, left, right } = tree;
  const { from, to } = entry.range;
  if (space.order(at, to) >= 0) {
    const [below, above] = cut(space, right, at);
    return [link(left, entry, below), above];
  }
  if (space.order(at, from) <= 0) {
    const [below, above] = cut(space, left, at);
    return [below, link(above, entry, right)];
  }
  const { value } = entry;
  const low = Object.freeze({ range: space.range(from, at), value });
  const high = Object.freeze({ range: space.range(at, to), value });
  return [link(left, low, undefined), link(undefined, high, right)];
}

/** The entry with the highest start at or below a bound, or strictly below it. */
export function lastStart<P, V>(
  space: Space<P>,
  tree: MaybeTree<P, V>,
  bound: Bound<P>,
  strictly: boolean,
): RangeEntry<P, V> | undefined {
  const highest = strictly ? -1 : 0;
  let found: RangeEntry<P, V> | undefined;
  let rest = tree;
  while (rest !== undefined) {
    if (space.order(rest.entry.range.from, bound) <= highest) {
      found = rest.entry;
      rest = rest.right;
    } else {
      rest = rest.left;
    }
  }
  return found;
}

/** The entries that overlap a range that is not empty, ascending and whole. O(log n + k) for k of them. */
export function* walk<P, V>(
  space: Space<P>,
  tree: MaybeTree<P, V>,
  from: P,
  to: Bound<P>,
): Generator<RangeEntry<P, V>, undefined> {
  const waiting: RangeTree<P, V>[] = [];
  let rest = tree;
  for (;;) {
    while (rest !== undefined) {
      // Behind a range that ends too early there may be others, in front of it there are none.
      if (space.order(rest.entry.range.to, from) <= 0) {
        rest = rest.right;
      } else {
        waiting.push(rest);
        rest = rest.left;
      }
    }
    const next = waiting.pop();
    if (next === undefined || space.order(next.entry.range.from, to) >= 0) return;
    yield next.entry;
    rest = next.right;
  }
}

/** The tree of ascending entries from the index `low` to below `high`. O(n). */
export function build<P, V>(
  entries: readonly RangeEntry<P, V>[],
  low: number,
  high: number,
): MaybeTree<P, V> {
  const middle = (low + high) >>> 1;
  const entry = entries[middle];
  if (low === high || entry === undefined) return undefined;
  return node(build(entries, low, middle), entry, build(entries, middle + 1, high));
}
