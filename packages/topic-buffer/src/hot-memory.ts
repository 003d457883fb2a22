/** Something that keeps messages in memory and can let go of the oldest. */
export interface HotHolder {
  /** The oldest chunk in memory: when it came (a counter), or undefined without one. */
  readonly oldest: number | undefined;
  readonly sealed: boolean;
  /** Frees the oldest chunk and says how many bytes that were. */
  evictOldest(): number;
}

/** The memory that all segments of a buffer share for hot messages. Sealed segments give way first, then the oldest messages. */
export class HotMemory {
  readonly #maxBytes: number;
  readonly #holders: Set<HotHolder> = new Set();
  #bytes = 0;
  #stamp = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  join(holder: HotHolder): void {
    this.#holders.add(holder);
  }

  /** The holder must have freed everything before. */
  leave(holder: HotHolder): void {
    this.#holders.delete(holder);
  }

  /** Counts bytes that a holder is about to keep, and gives their stamp. May evict, also from that holder. */
  add(bytes: number): number {
    this.#bytes += bytes;
    if (this.#bytes > this.#maxBytes) this.#evict();
    this.#stamp += 1;
    return this.#stamp;
  }

  free(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Somewhat below the limit, so that the search is not made for every chunk. */
  #evict(): void {
    const target = this.#maxBytes * 0.95;
    while (this.#bytes > target) {
      let victim: HotHolder | undefined;
      for (const holder of this.#holders) {
        if (holder.oldest !== undefined && (victim === undefined || before(holder, victim))) victim = holder;
      }
      if (victim === undefined) return;
      // The same one as long as it stays the best choice by a run: a few at once spare most of the searches.
      for (let i = 0; i < 8 && this.#bytes > target && victim.oldest !== undefined; i++)
        this.#bytes -= victim.evictOldest();
    }
  }
}

function before(a: HotHolder, b: HotHolder): boolean {
  if (a.sealed !== b.sealed) return a.sealed;
  return (a.oldest ?? 0) < (b.oldest ?? 0);
}
