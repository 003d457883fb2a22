import { PartitionedRange } from "./partitioned-range.js";
import { type Bound, infinity, type Range } from "./range.js";
import type { FiniteSpace } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";

/** Far above any cluster, and low enough that a wrong number does not take all the memory. */
const mostPartitions = 1_048_576;

/**
 * Cuts the whole of a hash space into `count` partitions whose sizes differ by one point at most; the larger ones come first.
 *
 * @param count from 1 to 1,048,576, and not above the number of points (65,536 in `hash16`)
 * @throws SpaceError "invalid-partition" for another count
 */
export function evenPartitions<P>(space: FiniteSpace<P>, count: number): PartitionedRange<P> {
  if (typeof space.size !== "bigint") {
    throw new SpaceError(
      "invalid-partition",
      `Only hash spaces have even partitions, and this is ${space.kind}.`,
    );
  }
  const most = space.size < mostPartitions ? Number(space.size) : mostPartitions;
  if (!Number.isInteger(count) || count < 1 || count > most) {
    throw new SpaceError(
      "invalid-partition",
      `The number of even partitions of ${space.kind} is an integer from 1 to ${most}, and this is ${describeValue(count)}.`,
    );
  }
  const share = space.size / BigInt(count);
  const larger = space.size % BigInt(count);
  const partitions: Range<P>[] = [];
  let from = space.minimum;
  let end = 0n;
  for (let index = 0n; index < count; index++) {
    end += index < larger ? share + 1n : share;
    const to: Bound<P> = end === space.size ? infinity : space.pointAt(end);
    partitions.push({ from, to });
    if (to !== infinity) from = to;
  }
  return new PartitionedRange<P>(space, partitions);
}
