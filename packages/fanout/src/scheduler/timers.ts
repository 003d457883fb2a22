/** Something that wants to be woken. */
export interface Timed {
  /** When, by the clock of the events. */
  dueMs: number;
  /** Where it is in the heap; -1 when it is not. */
  slot: number;
}

/**
 * A binary heap of what is due when. Each entry knows its place, so one that is no longer wanted is taken out at once and holds no
 * memory. Same calls, same order: ties are broken by the heap alone, never by an address.
 */
export class Timers<T extends Timed> {
  readonly #heap: T[] = [];

  /** When the first is due; `Infinity` when there is none. */
  get nextMs(): number {
    return this.#heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Wakes the entry then and not as it was before. `Infinity` for never. */
  set(entry: T, dueMs: number): void {
    if (dueMs === Number.POSITIVE_INFINITY) {
      this.clear(entry);
      return;
    }
    const before = entry.dueMs;
    entry.dueMs = dueMs;
    if (entry.slot < 0) {
      entry.slot = this.#heap.push(entry) - 1;
      this.#rise(entry);
    } else if (dueMs < before) this.#rise(entry);
    else this.#sink(entry);
  }

  clear(entry: T): void {
    const { slot } = entry;
    if (slot < 0) return;
    entry.slot = -1;
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#put(last, slot);
    this.#rise(last);
    this.#sink(last);
  }

  /** Takes out the first entry that is due at or before the time. */
  take(nowMs: number): T | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.dueMs > nowMs) return undefined;
    this.clear(first);
    return first;
  }

  #put(entry: T, slot: number): void {
    this.#heap[slot] = entry;
    entry.slot = slot;
  }

  #rise(entry: T): void {
    let slot = entry.slot;
    while (slot > 0) {
      const parent = this.#heap[(slot - 1) >>> 1]!;
      if (parent.dueMs <= entry.dueMs) break;
      this.#put(parent, slot);
      slot = (slot - 1) >>> 1;
    }
    this.#put(entry, slot);
  }

  #sink(entry: T): void {
    const heap = this.#heap;
    let slot = entry.slot;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++;
      if (heap[child]!.dueMs >= entry.dueMs) break;
      this.#put(heap[child]!, slot);
      slot = child;
    }
    this.#put(entry, slot);
  }
}
