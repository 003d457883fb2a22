import { byteKeys, writeRankOfBytes } from "./byte-keys.js";
import { hash16 } from "./hash16.js";
import { hash64, writeRankOfHash } from "./hash64.js";
import type { Space } from "./space.js";
import { utf8Keys, writeRankOfKey } from "./utf8-keys.js";

/** As `Space.rank`, but puts the rank into an array. */
export type RankWriter<P> = (point: P, target: Float64Array, index: number) => void;

/**
 * A number that is no small integer lives on the heap when a function returns it or takes it, unless the engine inlines the call. In a
 * typed array it does not, so who must not allocate asks for ranks like this.
 *
 * A space that is not one of ours, as a copy of one with another order, is asked for its `rank`.
 */
export function rankWriter<P>(space: Space<P>): RankWriter<P> {
  // The space says what its points are, which the compiler cannot see from a comparison: hence the casts.
  const known: unknown = space;
  if (known === hash64) return writeRankOfHash as RankWriter<unknown>;
  if (known === utf8Keys) return writeRankOfKey as RankWriter<unknown>;
  if (known === byteKeys) return writeRankOfBytes as RankWriter<unknown>;
  if (known === hash16) return writeSmallRank as RankWriter<unknown>;
  return (point, target, index) => {
    target[index] = space.rank(point);
  };
}

function writeSmallRank(point: number, target: Float64Array, index: number): void {
  target[index] = point;
}
