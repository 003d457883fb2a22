/**
 * Ascending ranks, taken out range by range. Taking is linear in what is taken and almost constant otherwise: a disjoint-set
 * forest (Tarjan and van Leeuwen, 1984, with path halving) leads from each rank that was taken to the next that was not.
 */
export class UncoveredRanks {
  readonly #ranks: Uint32Array;
  /** Its own index for a rank that is left, a higher one for a rank that was taken. One more than there are ranks, as the end. */
  readonly #next: Uint32Array;
  #left: number;

  constructor(ranks: Uint32Array) {
    this.#ranks = ranks;
    this.#next = new Uint32Array(ranks.length + 1);
    for (let index = 0; index <= ranks.length; index++) this.#next[index] = index;
    this.#left = ranks.length;
  }

  /** How many are left. */
  get length(): number {
    return this.#left;
  }

  /** Moves the ranks from `first` (inclusive) to `end` (exclusive) to `target`, from the index `at`, and returns the index after the last. */
  take(first: number, end: number, target: Uint32Array, at: number): number {
    let index = this.#find(lowerBound(this.#ranks, first));
    let place = at;
    while (index < this.#ranks.length && this.#ranks[index]! < end) {
      target[place++] = this.#ranks[index]!;
      this.#next[index] = index + 1;
      index = this.#find(index + 1);
    }
    this.#left -= place - at;
    return place;
  }

  /** Those that are left, ascending. */
  toArray(): Uint32Array {
    const left = new Uint32Array(this.#left);
    this.take(0, 2 ** 32, left, 0);
    this.#left = 0;
    return left;
  }

  #find(start: number): number {
    const next = this.#next;
    let index = start;
    while (next[index]! !== index) {
      next[index] = next[next[index]!]!;
      index = next[index]!;
    }
    return index;
  }
}

/** The index of the first of the ascending, distinct values that is not below `value`; their number when there is none. */
export function lowerBound(values: Uint32Array, value: number): number {
  let low = 0;
  let high = values.length;
  if (high > 0 && values[high - 1]! - values[0]! === high - 1) {
    // Without gaps, as the ranks of a whole call are.
    return Math.min(Math.max(0, value - values[0]!), high);
  }
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
