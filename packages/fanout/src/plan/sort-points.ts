import type { Space } from "@x/space";
import { FanoutError } from "../errors.js";
import type { SortedPoints } from "./contract.js";
import { wordsOf } from "./point-words.js";
import { sortByWords } from "./sort-by-words.js";

/**
 * Puts points in the order of their space. Equal points keep the order of their offsets. Takes a copy of the array, so that the
 * caller may change his own; a Uint8Array in it is not copied and must stay as it is.
 *
 * Each point is checked once. Points that are in order already cost one comparison each, others are sorted by their bits in
 * linear time (see `sortByWords`), and those of a space that is not from @x/space by its `rank` and, for ties, its `order`.
 *
 * @throws FanoutError "invalid-argument" that names the offset of a value that is no point of the space
 */
export function sortPoints<P>(space: Space<P>, points: readonly P[]): SortedPoints<P> {
  if (!Array.isArray(points)) {
    throw new FanoutError("invalid-argument", "The points of a call are an array, and these are not one.");
  }
  // Spread reads a hole as undefined, and each element only once, whatever else the array may be.
  const own: readonly P[] = [...points];
  checkPoints(space, own);
  const offsets = new Uint32Array(own.length);
  for (let offset = 0; offset < offsets.length; offset++) offsets[offset] = offset;
  if (!areSorted(space, own)) sortByWords(offsets, wordsOf(space, own));
  return { space, points: own, offsets };
}

function checkPoints<P>(space: Space<P>, points: readonly P[]): void {
  const { isPoint } = space;
  for (let offset = 0; offset < points.length; offset++) {
    if (!isPoint(points[offset])) throw notAPoint(space, points[offset], offset);
  }
}

function notAPoint<P>(space: Space<P>, value: unknown, offset: number): FanoutError {
  let cause: unknown;
  try {
    space.point(value);
  } catch (error) {
    cause = error;
  }
  const reason = cause instanceof Error ? cause.message : `It is no point of ${space.kind}.`;
  return new FanoutError("invalid-argument", `points[${offset}] is not a point. ${reason}`, { cause });
}

function areSorted<P>(space: Space<P>, points: readonly P[]): boolean {
  const { order } = space;
  for (let offset = 1; offset < points.length; offset++) {
    if (order(points[offset - 1]!, points[offset]!) > 0) return false;
  }
  return true;
}
