import type { Clock } from "../../src/clock.js";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #nowMs = 1000;
  #order = 0;
  readonly #timers: Set<Timer> = new Set();

  /** How many timers were ever set. */
  get everSet(): number {
    return this.#order;
  }

  get timers(): number {
    return this.#timers.size;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Goes on timer by timer, and lets each one's consequences happen before the next. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = this.#nextDue();
      if (next === undefined || next.dueMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.delete(next);
      next.callback();
      await settled();
    }
    this.#nowMs = endMs;
    await settled();
  }

  /** Time goes on and no timer runs: what a stopped process sees when it goes on. */
  stall(ms: number): void {
    this.#nowMs += ms;
  }

  #nextDue(): Timer | undefined {
    return [...this.#timers].sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
  }
}

/** Lets everything happen that waits for neither time nor a real disk. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
