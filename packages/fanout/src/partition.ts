import { PartitionedRange, type Range, type Space, spaceOf } from "@x/space";
import { FanoutError } from "./errors.js";
import { readViews } from "./plan/read-views.js";
import { sortPoints } from "./plan/sort-points.js";
import type { View, Views } from "./views.js";

export interface PartitionOptions<P> {
  /** Default: the space whose points have the type of the range's start. */
  readonly space?: Space<P>;
}

/**
 * Splits a range at every start and end of a view inside it, so that each view serves one or more complete partitions. Partitions
 * that no view serves are among them: a call to their points fails with "uncovered" rather than leaving them out. Replicas
 * of the same range give its bounds once, and a range that one view covers is one partition. An empty range has none.
 *
 * To gather results for a whole range, pass the `startPoints` of the result to `call`: each of its points then
 * stands for the partition that starts there, and the view that gets it serves all of that partition.
 *
 * O(V log V).
 *
 * @throws FanoutError "invalid-argument" when the range, or what a view serves, is no range of the space
 */
export function partition<P>(
  range: Range<P>,
  views: Views<View<NoInfer<P>>>,
  options: PartitionOptions<NoInfer<P>> = {},
): PartitionedRange<P> {
  const { space, overall } = checkRange(range, options.space);
  const served = readViews(space, views);
  if (space.order(overall.from, overall.to) === 0) return new PartitionedRange(space, []);
  const cuts: P[] = [overall.from];
  const addIfInside = (bound: Range<P>["to"]): void => {
    // Only what is below the end, which infinity never is, gets in, so it is a point.
    if (space.order(overall.from, bound) < 0 && space.order(bound, overall.to) < 0) cuts.push(bound as P);
  };
  for (let index = 0; index < served.views.length; index++) {
    if (space.order(served.from[index]!, served.to[index]!) === 0) continue;
    addIfInside(served.from[index]!);
    addIfInside(served.to[index]!);
  }
  const { points, offsets } = sortPoints(space, cuts);
  const starts: P[] = [];
  for (const offset of offsets) {
    const cut = points[offset]!;
    if (starts.length === 0 || space.order(starts.at(-1)!, cut) < 0) starts.push(cut);
  }
  return new PartitionedRange(
    space,
    starts.map((from, index) => ({ from, to: starts[index + 1] ?? overall.to })),
  );
}

function checkRange<P>(range: Range<P>, space: Space<P> | undefined): { space: Space<P>; overall: Range<P> } {
  try {
    const { from, to } = range;
    const used = space ?? spaceOf(from);
    return { space: used, overall: used.range(from, to) };
  } catch (cause) {
    const reason = cause instanceof Error ? ` ${cause.message}` : "";
    throw new FanoutError("invalid-argument", `The range cannot be partitioned.${reason}`, { cause });
  }
}
