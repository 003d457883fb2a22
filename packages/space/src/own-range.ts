import type { Range } from "./range.js";
import type { Space } from "./space.js";

/** A checked copy of a range: the caller's object may change later, or at every look. */
export function ownRange<P>(space: Space<P>, range: Range<P>): Range<P> {
  // Says so if it is no object at all.
  space.isEmpty(range);
  return space.range(range.from, range.to);
}
