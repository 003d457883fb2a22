import type { Clock, Random } from "./clock.js";

/** Brokers mostly need some tens of milliseconds to agree on who serves a journal; what lasts longer is an outage. */
const STEPS_MS = [50, 50, 100, 100, 1_000, 1_000];
const LAST_STEP_MS = 5_000;

/** How long to wait after a failed try (0 is the first): the steps of Gazette's own client, plus or minus a quarter. */
export function backoffMs(attempt: number, random: Random): number {
  return (STEPS_MS[attempt] ?? LAST_STEP_MS) * (0.75 + random.number() / 2);
}

/** @throws the signal's reason */
export async function sleep(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  let stop = (): void => {};
  try {
    await new Promise<void>((resolve) => {
      const cancel = clock.setTimer(delayMs, resolve);
      stop = () => {
        cancel();
        resolve();
      };
      signal?.addEventListener("abort", stop, { once: true });
    });
  } finally {
    signal?.removeEventListener("abort", stop);
  }
  signal?.throwIfAborted();
}
