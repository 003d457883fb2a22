import type { Clock } from "../clock.js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { systemClock, systemRandom } from "../system.js";
import { iterate } from "./iteration.js";
import { Backoff, pause } from "./pause.js";

/** For what goes on when a locator fails: it is asked again after 100 ms, doubling up to 10 s, each a random part of that. */
export interface RetryOptions {
  /** Told each failure. What it throws is thrown to the reader. */
  readonly onError?: (error: unknown) => void;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** From 0 to 1. Default: Math.random. */
  readonly random?: () => number;
}

/**
 * A locator that never throws because `locator` does: what was yielded last stays true, and it is asked again. A locator that
 * ends before it was told to has failed too.
 */
export function keepLocating(locator: Locator, options: RetryOptions = {}): Locator {
  return { locate: ({ signal }) => iterate(signal, (until) => untilAborted(locator, options, until)) };
}

async function* untilAborted(
  locator: Locator,
  { onError, clock = systemClock, random = systemRandom }: RetryOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly Endpoint[], void, undefined> {
  const backoff = new Backoff({ firstMs: 100, longestMs: 10_000, random });
  for (;;) {
    let failure: unknown;
    try {
      for await (const endpoints of locator.locate({ signal })) {
        backoff.reset();
        yield endpoints;
      }
      failure = new RegistryError("unavailable", "the locator ended by itself");
    } catch (error) {
      failure = error;
    }
    signal.throwIfAborted();
    onError?.(failure);
    await pause(backoff.next(), { clock, signal });
  }
}
