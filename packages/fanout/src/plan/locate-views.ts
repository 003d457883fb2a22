import { type Bound, infinity } from "@x/space";
import type { Views } from "../views.js";
import type { LocatedViews, SortedPoints } from "./contract.js";
import { readViews } from "./read-views.js";

/**
 * Finds the ranks of the points that each view serves, by binary search: O(V log n). Views that serve none of the points are left
 * out, those with an empty range among them.
 *
 * @throws FanoutError "invalid-argument" that names the view whose `serves` is no range of the space, or says what is wrong with the list
 */
export function locateViews<P, V>(sorted: SortedPoints<P>, views: Views<V>): LocatedViews<V> {
  const served = readViews(sorted.space, views);
  const count = served.views.length;
  const found: V[] = [];
  const first = new Uint32Array(count);
  const end = new Uint32Array(count);
  const rankOf = rankFinder(sorted);
  let lastFrom: P | undefined;
  let lastTo: Bound<P> | undefined;
  let start = 0;
  let stop = 0;
  for (let index = 0; index < count; index++) {
    const from = served.from[index]!;
    const to = served.to[index]!;
    // Replicas often follow each other, and then comes the next range.
    if (from !== lastFrom) start = from === lastTo ? stop : rankOf(from);
    if (to !== lastTo) stop = rankOf(to);
    lastFrom = from;
    lastTo = to;
    if (start >= stop) continue;
    first[found.length] = start;
    end[found.length] = stop;
    found.push(served.views[index]!);
  }
  return { views: found, first: first.subarray(0, found.length), end: end.subarray(0, found.length) };
}

/**
 * How many points are before a bound. The bounds of views repeat, since the end of one is the start of the next and replicas serve the
 * same range: each is looked for once, as long as a Map can tell that it is the same.
 */
function rankFinder<P>({ space, points, offsets }: SortedPoints<P>): (bound: Bound<P>) => number {
  const { order } = space;
  const known = new Map<Bound<P>, number>([[infinity, offsets.length]]);
  return (bound) => {
    let rank = known.get(bound);
    if (rank === undefined) {
      let low = 0;
      let high = offsets.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (order(points[offsets[middle]!]!, bound) < 0) low = middle + 1;
        else high = middle;
      }
      rank = low;
      known.set(bound, rank);
    }
    return rank;
  };
}
