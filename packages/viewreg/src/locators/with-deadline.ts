import type { Clock } from "../clock.js";

interface Limit {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What it rejects with when the time is over. */
  readonly late: () => unknown;
}

/**
 * What `run` gives, if it does so in time. When the time is over or the signal is aborted, the signal that `run` was given is aborted,
 * and it is waited for no longer: whoever does not listen must not hold up the others.
 * @throws what `run` or `late` says, signal.reason
 */
export async function withDeadline<T>(
  ms: number,
  { clock, signal, late }: Limit,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const until = new AbortController();
  const onAbort = (): void => until.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const cancel = clock.setTimer(ms, () => until.abort(late()));
  const aborted = new Promise<never>((_, reject) => {
    until.signal.addEventListener("abort", () => reject(until.signal.reason), { once: true });
  });
  try {
    return await Promise.race([run(until.signal), aborted]);
  } finally {
    cancel();
    signal.removeEventListener("abort", onAbort);
  }
}
