import { CoordError } from "@x/coord";
import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import { type Clock, type Runtime, sleep } from "../protocol/runtime.js";

/** A question that hangs must not eat up all the time there is: somebody else may have the answer by then. */
export const ANSWER_MS = 3000;
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 1000;

/** Asks, and does not wait longer than that. @throws TopicError "unavailable" when the time is over, signal.reason */
export async function askWithin<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal | undefined,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const over = new AbortController();
  const cancel = clock.setTimer(limitMs, () =>
    over.abort(new TopicError("unavailable", `there was no answer within ${limitMs} ms`)),
  );
  const onAbort = (): void => over.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await ask(over.signal);
  } finally {
    cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Whether trying again can help. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof TopicError) return error.code === "unavailable" || error.code === "not-owner";
  // "compacted": more happened during a snapshot than the store remembers; the next one is of a newer revision.
  return error instanceof CoordError && (error.code === "unavailable" || error.code === "compacted");
}

/** What is tried again until a deadline, with pauses that grow. */
export class Attempts {
  readonly signal: AbortSignal | undefined;
  readonly #runtime: Runtime;
  readonly #deadlineMs: number;
  readonly #untilMs: number;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(
    { runtime }: Pick<ClientContext, "runtime">,
    options: { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined },
  ) {
    this.#runtime = runtime;
    this.#deadlineMs = options.deadlineMs;
    this.#untilMs = runtime.clock.monotonicMs() + options.deadlineMs;
    this.signal = options.signal;
  }

  /** One question of an attempt. */
  ask<T>(
    ask: (options: { readonly signal: AbortSignal }) => Promise<T>,
    limitMs: number = ANSWER_MS,
  ): Promise<T> {
    return askWithin(this.#runtime.clock, limitMs, this.signal, (signal) => ask({ signal }));
  }

  /** @throws TopicError "unavailable" when there is no time left, signal.reason */
  async pause(cause?: unknown): Promise<void> {
    const { clock, random } = this.#runtime;
    const leftMs = this.#untilMs - clock.monotonicMs();
    if (leftMs <= 0) {
      throw new TopicError("unavailable", `it could not be done within ${this.#deadlineMs} ms`, { cause });
    }
    const pauseMs = Math.min(this.#pauseMs * (0.5 + random.number()), leftMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    await sleep(clock, pauseMs, this.signal);
  }
}
