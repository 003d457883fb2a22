import { compareKeys } from "../selector.js";

const maxChunk = 512;

/**
 * A set of keys in byte order, as a list of sorted chunks: adding and removing move at most one chunk, and a scan walks arrays.
 */
export class KeyIndex {
  readonly #chunks: string[][] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** False if it was there already. */
  add(key: string): boolean {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (chunk === undefined) {
      // Behind the last chunk (or there is none yet): keys often come in order, so the last one is filled up first.
      const last = this.#chunks.at(-1);
      if (last !== undefined && last.length < maxChunk) last.push(key);
      else this.#chunks.push([key]);
      this.#size += 1;
      return true;
    }
    const index = lowerBound(chunk, key);
    if (chunk[index] === key) return false;
    chunk.splice(index, 0, key);
    if (chunk.length > maxChunk) this.#chunks.splice(at + 1, 0, chunk.splice(maxChunk / 2));
    this.#size += 1;
    return true;
  }

  /** False if it was not there. */
  remove(key: string): boolean {
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return false;
    const index = lowerBound(chunk, key);
    if (chunk[index] !== key) return false;
    chunk.splice(index, 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    this.#size -= 1;
    return true;
  }

  /** The keys from `first` (inclusive) on, in order. Must not be changed while it is walked. */
  *from(first: string): Generator<string, void, undefined> {
    let at = this.#chunkOf(first);
    let index = lowerBound(this.#chunks[at] ?? [], first);
    for (; at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at]!;
      for (; index < chunk.length; index++) yield chunk[index]!;
      index = 0;
    }
  }

  /** The first chunk whose last key is not before `key`; the number of chunks if there is none. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(this.#chunks[middle]!.at(-1)!, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(sorted[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
