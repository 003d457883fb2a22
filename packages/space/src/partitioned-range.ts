import { ownRange } from "./own-range.js";
import { type Bound, infinity, type Range } from "./range.js";

import type { Space } from "./space.js";
import { checkIterable, describeValue, SpaceError } from "./space-error.js";

/**
 * A range cut into partitions that touch: each starts where the one before it ends. Immutable.
 *
 * Answers "which partition has this point?" by binary search, without allocating. Iterates in ascending order.
 */
export class PartitionedRange<P> implements Iterable<Range<P>> {
  readonly space: Space<P>;
  /** From the start of the first partition to the end of the last. With no partitions, the empty range at the minimum. */
  readonly overallRange: Range<P>;
  /** The first point of each partition, ascending. */
  readonly startPoints: readonly P[];
  readonly #partitions: readonly Range<P>[];
  readonly #lastStartAtOrBefore: (point: P) => number;

  /**
   * @param partitions in ascending order, none of them empty, without gaps or overlaps; may be none at all. Copied.
   * @throws SpaceError "invalid-partition" when they are not so; "invalid-range", "invalid-point" or "mixed-spaces" when
   * one of them is no range of the space
   */
  constructor(space: Space<P>, partitions: Iterable<Range<NoInfer<P>>>) {
    this.space = space;
    this.#partitions = checkPartitions(space, partitions);
    const first = this.#partitions[0];
    const last = this.#partitions.at(-1);
    this.overallRange = space.range(first ? first.from : space.minimum, last ? last.to : space.minimum);
    this.startPoints = Object.freeze(this.#partitions.map((partition) => partition.from));
    this.#lastStartAtOrBefore = space.bisect(this.startPoints);
  }

  /** How many partitions there are. */
  get length(): number {
    return this.#partitions.length;
  }

  /** The partition at an index, or undefined when there is none. So `get(find(point))` is the point's partition, if any. */
  get(index: number): Range<P> | undefined {
    return this.#partitions[index];
  }

  /**
   * The index of the partition that contains the point, or -1 when none does. A boundary belongs to the partition
   * on its right; `infinity` belongs to none. O(log n).
   *
   * @throws SpaceError "invalid-point" or "mixed-spaces"
   */
  find(point: Bound<P>): number {
    if (point === infinity) return -1;
    const index = this.#lastStartAtOrBefore(this.space.point(point));
    // Only behind the last start can a point be past the end.
    if (index < this.#partitions.length - 1) return index;
    return index >= 0 && this.space.compare(point, this.overallRange.to) < 0 ? index : -1;
  }

  /**
   * The same range with one more cut. Where there is a boundary already, at either end too, it is this very object.
   * O(n) for n partitions.
   *
   * @throws SpaceError "invalid-partition" when the point is outside; "invalid-point" or "mixed-spaces"
   */
  split(at: P): PartitionedRange<P> {
    const { from, to } = this.overallRange;
    // Checked apart, since infinity can be compared and is no point.
    this.space.point(at);
    if (this.space.compare(at, from) < 0 || this.space.compare(at, to) > 0) {
      throw new SpaceError(
        "invalid-partition",
        `Partitions are split at a point of their range, and this is outside of it: ${describeValue(at)}.`,
      );
    }
    const index = this.find(at);
    const partition = this.#partitions[index];
    if (partition === undefined || this.space.compare(partition.from, at) === 0) return this;
    return new PartitionedRange<P>(
      this.space,
      this.#partitions.toSpliced(index, 1, { from: partition.from, to: at }, { from: at, to: partition.to }),
    );
  }

  /**
   * The same range with `count` partitions, from the one with the index `first` on, made one. This very object if `count` is 1.
   * O(n) for n partitions.
   *
   * @param count default 2
   * @throws SpaceError "invalid-partition" when there are no such partitions
   */
  merge(first: number, count = 2): PartitionedRange<P> {
    const last = first + count - 1;
    const from = this.#partitions[first]?.from;
    const to = this.#partitions[last]?.to;
    const isSpan = Number.isInteger(first) && Number.isInteger(count) && count >= 1;
    if (!isSpan || from === undefined || to === undefined) {
      throw new SpaceError(
        "invalid-partition",
        `There are ${this.length} partitions, and these are none of them: ` +
          `${describeValue(count)} from ${describeValue(first)} on.`,
      );
    }
    return count === 1
      ? this
      : new PartitionedRange<P>(this.space, this.#partitions.toSpliced(first, count, { from, to }));
  }

  [Symbol.iterator](): IterableIterator<Range<P>> {
    return this.#partitions.values();
  }
}

function checkPartitions<P>(space: Space<P>, partitions: Iterable<Range<P>>): readonly Range<P>[] {
  checkIterable(partitions, `The partitions of ${space.kind} are an iterable of ranges`);
  const checked: Range<P>[] = [];
  for (const given of partitions) {
    const partition = ownRange(space, given);
    if (space.isEmpty(partition)) {
      throw new SpaceError(
        "invalid-partition",
        `A partition has at least one point, and number ${checked.length} is empty: ${space.formatRange(partition)}.`,
      );
    }
    const previous = checked.at(-1);
    if (previous && space.compare(previous.to, partition.from) !== 0) {
      throw new SpaceError(
        "invalid-partition",
        `A partition starts where the one before it ends, and number ${checked.length} does not: ` +
          `${space.formatRange(partition)} after ${space.formatRange(previous)}.`,
      );
    }
    checked.push(partition);
  }
  return checked;
}
