/** Time and chance, taken from outside, so that tests and simulations own them. `@x/coord`'s clock is a part of this one. */
export interface Clock {
  /** Milliseconds since 1970 by the wall clock, which may jump. May have a fraction. */
  wallMs(): number;
  /** Milliseconds of a clock that never goes back and has no meaning outside the process. */
  monotonicMs(): number;
  /** Calls back once after at least `delayMs`; the returned function takes it back. */
  setTimer(delayMs: number, callback: () => void): () => void;
}

export interface Random {
  /** From 0 inclusive to 1 exclusive. */
  number(): number;
  /** Unpredictable bytes. */
  bytes(count: number): Uint8Array;
}

export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
}

/** Resolves after `delayMs`, or rejects with `signal.reason`. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.setTimer(delayMs, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
