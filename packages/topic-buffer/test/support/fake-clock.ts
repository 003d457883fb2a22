import type { Clock } from "@x/topic-gateway/protocol";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #nowMs = 1000;
  #order = 0;
  #timers: Timer[] = [];
  /** Added to the wall clock only. */
  skewMs = 0;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs + this.skewMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Goes on timer by timer, and lets each one's consequences happen before the next. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settled();
    for (;;) {
      const next = this.#timers.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.shift();
      next.callback();
      await settled();
    }
    this.#nowMs = endMs;
    await settled();
  }

  /** In steps, until something holds. Fails when it does not within the time. */
  async until(holds: () => boolean, withinMs = 30_000): Promise<void> {
    const endMs = this.#nowMs + withinMs;
    await settled();
    while (!holds()) {
      if (this.#nowMs >= endMs) throw new Error(`not within ${withinMs} ms`);
      await this.advance(10);
    }
  }

  /** While time goes on. */
  async during<T>(work: Promise<T>, withinMs = 30_000): Promise<T> {
    let done = false;
    work.then(
      () => {
        done = true;
      },
      () => {
        done = true;
      },
    );
    await this.until(() => done, withinMs);
    return work;
  }

  /** Time goes on and no timer runs: what a stopped process sees when it goes on. */
  stall(ms: number): void {
    this.#nowMs += ms;
  }
}

/** Lets everything happen that waits for neither time nor a real disk. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
