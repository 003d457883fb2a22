/** Waits for the end of something, or until the signal aborts: then it goes on by itself. @throws what it is rejected with before that */
export function orHurried(end: Promise<unknown>, hurry: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve();
    const settled = (finish: () => void): void => {
      hurry?.removeEventListener("abort", onAbort);
      finish();
    };
    end.then(
      () => settled(resolve),
      (error) => settled(() => reject(error)),
    );
    if (hurry?.aborted) resolve();
    else hurry?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Something that is closed once. Everybody who asks for it waits for the same end, and the signal of any of them hurries it. */
export class Closing {
  readonly #hurry = new AbortController();
  #closed: Promise<void> | undefined;

  /** Of the `close` functions only the first is called. */
  async run(close: (hurry: AbortSignal) => Promise<void>, signal?: AbortSignal): Promise<void> {
    const onAbort = (): void => this.#hurry.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    try {
      this.#closed ??= close(this.#hurry.signal);
      await this.#closed;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
