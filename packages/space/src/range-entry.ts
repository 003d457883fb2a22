import type { Range } from "./range.js";

/** A range and what belongs to it. Frozen where it comes out of a `RangeMap` or a `RangeIndex`. */
export interface RangeEntry<P, V> {
  readonly range: Range<P>;
  readonly value: V;
}
