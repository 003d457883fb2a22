/** Places in a queue. Those who wait for some are served in the order in which they came. */
export class Room {
  readonly #free: () => number;
  #taken = 0;
  readonly #waiting: { readonly count: number; readonly grant: () => void }[] = [];

  /** `free`: places that no entry has. Those that are taken here and are no entries yet are counted here. */
  constructor(free: () => number) {
    this.#free = free;
  }

  /** Takes them, unless there are fewer or somebody has waited longer. */
  tryTake(count: number): boolean {
    if (this.#waiting.length > 0 || this.#free() - this.#taken < count) return false;
    this.#taken += count;
    return true;
  }

  /** @throws `signal.reason` */
  async take(count: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.tryTake(count)) return;
    let onAbort = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        const waiter = { count, grant: resolve };
        this.#waiting.push(waiter);
        onAbort = () => {
          const at = this.#waiting.indexOf(waiter);
          if (at < 0) return; // granted
          this.#waiting.splice(at, 1);
          reject(signal.reason);
          this.changed();
        };
        signal.addEventListener("abort", onAbort, { once: true });
      });
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  giveBack(count: number): void {
    this.#taken -= count;
    this.changed();
  }

  /** There may be more room than before. */
  changed(): void {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined || this.#free() - this.#taken < first.count) return;
      this.#waiting.shift();
      this.#taken += first.count;
      first.grant();
    }
  }
}
