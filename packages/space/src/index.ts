/**
 * Points and half-open ranges of hash and key spaces, ranges cut into partitions, and MurmurHash3:
 * the arithmetic of "which part of the data is this, and who has it?".
 */

export { type AssignOptions, assignPartitions } from "./assign-partitions.js";
export type { PartitionId, WeightedServer } from "./assignment-input.js";
export { byteKeys } from "./byte-keys.js";
export { evenPartitions } from "./even-partitions.js";
export { hash16 } from "./hash16.js";
export { hash64 } from "./hash64.js";
export { type Murmur3Hash, murmur3Hash64, murmur3Mod, murmur3x64_128 } from "./murmur3.js";
export { PartitionedRange } from "./partitioned-range.js";
export { type Bound, infinity, type Range } from "./range.js";
export type { RangeEntry } from "./range-entry.js";
export { RangeIndex } from "./range-index.js";
export { RangeMap, type RangeMapOptions } from "./range-map.js";
export type { FiniteSpace, Space } from "./space.js";
export { SpaceError, type SpaceErrorCode } from "./space-error.js";
export { spaceOf } from "./space-of.js";
export { utf8Keys } from "./utf8-keys.js";
