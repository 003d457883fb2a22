import { setTimeout as sleepFor } from "node:timers/promises";

/** Sleeps, or rejects with `signal.reason` itself. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

export interface PollOptions {
  /** How long to go on asking. */
  readonly withinMs: number;
  /** The pause between two questions. Default 20. */
  readonly everyMs?: number;
  /** Looked at before every question; an error ends the polling, and is what the caller gets. */
  readonly giveUp?: () => Error | undefined;
  readonly signal?: AbortSignal;
}

/**
 * Asks `question` until it gives something other than undefined. A question that throws counts as "not yet".
 * The question gets a signal that also fires at the deadline, so that one that hangs does not outlive it.
 * @returns the answer, or undefined (with the last failure as `cause`) when the time is over.
 */
export async function poll<T>(
  question: (signal: AbortSignal) => Promise<T | undefined>,
  options: PollOptions,
): Promise<{ readonly answer?: T; readonly cause?: unknown }> {
  const deadline = performance.now() + options.withinMs;
  const timeout = AbortSignal.timeout(options.withinMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  let cause: unknown;
  for (;;) {
    options.signal?.throwIfAborted();
    const reason = options.giveUp?.();
    if (reason !== undefined) throw reason;
    try {
      const answer = await question(signal);
      if (answer !== undefined) return { answer };
    } catch (error) {
      cause = error;
    }
    if (performance.now() >= deadline) return { cause };
    await pause(options.everyMs ?? 20, options.signal);
  }
}
