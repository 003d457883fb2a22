import type { Clock } from "../clock.js";

/** Work at a bounded rate: what was done is paid for by waiting before the next. */
export class Pacer {
  readonly #clock: Clock;
  readonly #perSecond: number;
  #freeAtMs = Number.NEGATIVE_INFINITY;

  /** `perSecond` may be infinite. */
  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** Resolves when all that was spent is paid for. @throws `signal.reason` */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    for (;;) {
      const waitMs = this.#freeAtMs - this.#clock.monotonicMs();
      // Below that, a clock may be unable to go on by so little.
      if (!(waitMs > 0.001)) return;
      await sleep(this.#clock, waitMs, signal);
    }
  }

  spend(units: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (units * 1000) / this.#perSecond;
  }
}

/** @throws `signal.reason` */
export async function sleep(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let onAbort = () => {};
  let cancel = () => {};
  try {
    await new Promise<void>((resolve, reject) => {
      cancel = clock.setTimer(delayMs, resolve);
      onAbort = () => reject(signal?.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  } finally {
    cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}
