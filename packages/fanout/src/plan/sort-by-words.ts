/**
 * Reads points as sequences of unsigned 32-bit words: at the first place where the words of two points differ they are in the order
 * of the points.
 */
export interface WordReader {
  /**
   * Writes the next word of each of the points `ids[from]` to `ids[to - 1]`, which agree in all that was read before, to
   * `words[id]`. `depth` is 0 at first, then what the last reading of these points returned: -1 when nothing follows, so
   * that there is nothing more to read where these words are the same.
   */
  readonly read: (ids: Uint32Array, from: number, to: number, depth: number, words: Uint32Array) => number;
  /** Whether points with the same words are the same. Otherwise `order` decides. */
  readonly exact: boolean;
  /** The order of two points: below 0, 0 or above 0. */
  readonly order: (a: number, b: number) => number;
}

/** Up to so many points, comparing is cheaper than counting digits. */
const fewPoints = 16;
const mostDigitBits = 11;

/**
 * Sorts the ids by the points that they stand for. Stable.
 *
 * A radix sort from the highest word to the lowest (McIlroy, Bostic and McIlroy, "Engineering Radix Sort", 1993), with two
 * counting passes a step: they sort a group by the highest 22 of the bits in which its words differ, and the points that
 * are still the same make a group of the next step. Random points need one step. Without recursion, and linear in the number
 * of points times the words in which they differ; where a reader is not exact, n log n calls of `order` for n ties.
 */
export function sortByWords(ids: Uint32Array, reader: WordReader): void {
  const words = new Uint32Array(ids.length);
  const scratch = new Uint32Array(ids.length);
  const counts = new Uint32Array(1 << mostDigitBits);
  // Four numbers a group: from, to, the depth of its next word, and 1 when lower bits of the current word come first.
  const groups = [0, ids.length, 0, 0];
  while (groups.length > 0) {
    const sameWord = groups.pop()! === 1;
    const depth = groups.pop()!;
    const to = groups.pop()!;
    const from = groups.pop()!;
    if (to - from <= fewPoints) {
      insertionSort(ids, from, to, reader.order);
      continue;
    }
    if (!sameWord && depth < 0) {
      if (!reader.exact) mergeSort(ids, from, to, scratch, reader.order);
      continue;
    }
    const next = sameWord ? depth : reader.read(ids, from, to, depth, words);
    const bits = differingBits(ids, from, to, words);
    if (bits === 0) {
      groups.push(from, to, next, 0);
      continue;
    }
    // A small group is not worth clearing large counters for.
    const digitBits = to - from < 512 ? 7 : mostDigitBits;
    const shift = Math.max(0, bits - 2 * digitBits);
    sortByDigit(ids, from, to, scratch, words, counts, shift, digitBits);
    if (bits > digitBits) sortByDigit(scratch, from, to, ids, words, counts, shift + digitBits, digitBits);
    else ids.set(scratch.subarray(from, to), from);

    if (shift === 0 && next < 0 && reader.exact) continue;
    let start = from;
    let value = words[ids[from]!]! >>> shift;
    for (let index = from + 1; index < to; index++) {
      const other = words[ids[index]!]! >>> shift;
      if (other === value) continue;
      if (index - start > 1) groups.push(start, index, next, shift === 0 ? 0 : 1);
      start = index;
      value = other;
    }
    if (to - start > 1) groups.push(start, to, next, shift === 0 ? 0 : 1);
  }
}

/** How many of the lowest bits it takes to tell the words of a group from each other. */
function differingBits(ids: Uint32Array, from: number, to: number, words: Uint32Array): number {
  const first = words[ids[from]!]!;
  let bits = 0;
  for (let index = from + 1; index < to; index++) bits |= words[ids[index]!]! ^ first;
  return 32 - Math.clz32(bits);
}

/** Copies the ids to `target`, ordered by one digit of their words. Stable. */
function sortByDigit(
  ids: Uint32Array,
  from: number,
  to: number,
  target: Uint32Array,
  words: Uint32Array,
  counts: Uint32Array,
  shift: number,
  digitBits: number,
): void {
  const digits = 1 << digitBits;
  const mask = digits - 1;
  counts.fill(0, 0, digits);
  for (let index = from; index < to; index++) counts[(words[ids[index]!]! >>> shift) & mask]!++;
  let place = from;
  for (let digit = 0; digit < digits; digit++) {
    const count = counts[digit]!;
    counts[digit] = place;
    place += count;
  }
  for (let index = from; index < to; index++) {
    const id = ids[index]!;
    target[counts[(words[id]! >>> shift) & mask]!++] = id;
  }
}

function insertionSort(ids: Uint32Array, from: number, to: number, order: WordReader["order"]): void {
  for (let index = from + 1; index < to; index++) {
    const id = ids[index]!;
    let place = index;
    while (place > from && order(ids[place - 1]!, id) > 0) {
      ids[place] = ids[place - 1]!;
      place--;
    }
    ids[place] = id;
  }
}

/** From short runs to long ones, so that its depth does not grow with the input. Runs that are in order already cost one comparison. */
function mergeSort(
  ids: Uint32Array,
  from: number,
  to: number,
  scratch: Uint32Array,
  order: WordReader["order"],
): void {
  for (let start = from; start < to; start += fewPoints) {
    insertionSort(ids, start, Math.min(start + fewPoints, to), order);
  }
  for (let width = fewPoints; width < to - from; width *= 2) {
    for (let start = from; start + width < to; start += 2 * width) {
      merge(ids, start, start + width, Math.min(start + 2 * width, to), scratch, order);
    }
  }
}

function merge(
  ids: Uint32Array,
  from: number,
  middle: number,
  to: number,
  scratch: Uint32Array,
  order: WordReader["order"],
): void {
  if (order(ids[middle - 1]!, ids[middle]!) <= 0) return;
  scratch.set(ids.subarray(from, middle), from);
  let left = from;
  let right = middle;
  let place = from;
  while (left < middle && right < to) {
    ids[place++] = order(scratch[left]!, ids[right]!) <= 0 ? scratch[left++]! : ids[right++]!;
  }
  while (left < middle) ids[place++] = scratch[left++]!;
}
