import type { Clock } from "../clock.js";

/** @throws signal.reason */
export async function pause(
  ms: number,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  let finish: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const cancel = clock.setTimer(ms, finish);
  signal.addEventListener("abort", finish, { once: true });
  try {
    await over;
  } finally {
    cancel();
    signal.removeEventListener("abort", finish);
  }
  signal.throwIfAborted();
}

/** Pauses between attempts: each a random part, from half to all, of a time that doubles. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  #nextMs: number;

  constructor(options: {
    readonly firstMs: number;
    readonly longestMs: number;
    readonly random: () => number;
  }) {
    this.#firstMs = options.firstMs;
    this.#longestMs = options.longestMs;
    this.#random = options.random;
    this.#nextMs = options.firstMs;
  }

  next(): number {
    const ms = this.#nextMs;
    this.#nextMs = Math.min(ms * 2, this.#longestMs);
    return ms * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#nextMs = this.#firstMs;
  }
}
