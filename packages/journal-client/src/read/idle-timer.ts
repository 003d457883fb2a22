import type { Clock } from "../clock.js";

/**
 * Calls back once when something was waited for longer than allowed, without a timer for each wait: waits may be as short and as many as
 * the chunks of a file.
 */
export class IdleTimer {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #waitingSinceMs: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  start(onIdle: () => void): void {
    const arm = (delayMs: number): void => {
      this.#cancel = this.#clock.setTimer(delayMs, () => {
        const since = this.#waitingSinceMs;
        const restMs =
          since === undefined ? this.#timeoutMs : since + this.#timeoutMs - this.#clock.monotonicMs();
        if (restMs > 0) {
          arm(restMs);
        } else {
          onIdle();
        }
      });
    };
    arm(this.#timeoutMs);
  }

  /** Whether it is waited now. */
  set waiting(waiting: boolean) {
    this.#waitingSinceMs = waiting ? this.#clock.monotonicMs() : undefined;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
