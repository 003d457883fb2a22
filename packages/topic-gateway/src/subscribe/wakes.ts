import type { Clock } from "../protocol/runtime.js";

/** Those who wait for something to happen, each up to a time of its own. */
export class Wakes {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wakeAll(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves when woken, or with true when the (monotonic) time has come. @throws signal.reason */
  wait(untilMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const finish = (): void => {
        this.#waiting.delete(wake);
        cancel?.();
        signal?.removeEventListener("abort", onAbort);
      };
      const wake = (): void => {
        finish();
        resolve(false);
      };
      const onAbort = (): void => {
        finish();
        reject(signal?.reason);
      };
      const cancel =
        untilMs === Number.POSITIVE_INFINITY
          ? undefined
          : this.#clock.setTimer(Math.max(0, untilMs - this.#clock.monotonicMs()), () => {
              finish();
              resolve(true);
            });
      this.#waiting.add(wake);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }
}
