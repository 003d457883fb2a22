/** Resolves as `promise` does, or rejects with `signal.reason` itself as soon as it is aborted. For waiting for what others do: it goes on. */
export async function waitFor(promise: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) {
    await promise;
    return;
  }
  signal.throwIfAborted();
  let onAbort = () => {};
  try {
    await Promise.race([
      promise,
      new Promise((_resolve, reject) => {
        onAbort = () => reject(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
      }),
    ]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** One after the other for the same key; as many as like for different ones. */
export class KeyedLock<Key> {
  readonly #held = new Map<Key, Promise<void>>();

  async run<Result>(key: Key, signal: AbortSignal | undefined, work: () => Promise<Result>): Promise<Result> {
    for (let held = this.#held.get(key); held !== undefined; held = this.#held.get(key)) {
      await waitFor(held, signal);
    }
    const release = this.tryTake(key) as () => void; // nobody has it
    try {
      return await work();
    } finally {
      release();
    }
  }

  /** Takes it at once, until the returned function is called; undefined when somebody has it. */
  tryTake(key: Key): (() => void) | undefined {
    if (this.#held.has(key)) return undefined;
    let resolveHeld = () => {};
    this.#held.set(
      key,
      new Promise((resolve) => {
        resolveHeld = resolve;
      }),
    );
    return () => {
      this.#held.delete(key);
      resolveHeld();
    };
  }

  /** Resolves when nothing runs. */
  async idle(): Promise<void> {
    while (this.#held.size > 0) await Promise.all(this.#held.values());
  }
}
