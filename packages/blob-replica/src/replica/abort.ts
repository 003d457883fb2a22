import type { Clock } from "../clock.js";

export interface Followed {
  readonly controller: AbortController;
  /** From now on the signal aborts nothing. */
  release(): void;
}

/** A controller that aborts when one of the signals does, with its reason, until it is let go. */
export function follow(...signals: readonly (AbortSignal | undefined)[]): Followed {
  const controller = new AbortController();
  const leave: (() => void)[] = [];
  for (const signal of signals) {
    if (signal === undefined) continue;
    if (signal.aborted) controller.abort(signal.reason);
    const onAbort = () => controller.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    leave.push(() => signal.removeEventListener("abort", onAbort));
  }
  return {
    controller,
    release: () => {
      for (const each of leave) each();
    },
  };
}

/** The promise's result, or `signal.reason` when that comes first; the promise goes on. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** When the promise has settled, or after so long: who ignores his signal is not waited for without end. Never rejects. */
export async function within(promise: Promise<unknown>, ms: number, clock: Clock): Promise<void> {
  let cancel = () => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.setTimer(ms, resolve);
  });
  try {
    await Promise.race([promise, late]);
  } catch {
    // It has settled.
  } finally {
    cancel();
  }
}
