import { iterate } from "./iteration.js";

/**
 * A value that changes, for any number of readers, each of which is told the latest that it has not been told: a slow reader
 * misses what was in between, and nothing piles up for it.
 */
export class Latest<T> {
  #value: T | undefined;
  #version = 0;
  #end: { readonly error?: unknown } | undefined;
  readonly #wake: Set<() => void> = new Set();

  /** 0 as long as there is no value, then 1 more with each `set`. */
  get version(): number {
    return this.#version;
  }

  /** Does nothing after the end. */
  set(value: T): void {
    if (this.#end !== undefined) return;
    this.#value = value;
    this.#version++;
    this.#wakeAll();
  }

  /** Readers are still told the last value, then their loops end. */
  end(): void {
    this.#end ??= {};
    this.#wakeAll();
  }

  /** Readers are still told the last value, then the error is thrown to them. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wakeAll();
  }

  /** Yields the value as soon as there is one, then each time it has changed. Ends when the signal is aborted. */
  read({ signal }: { readonly signal: AbortSignal }): AsyncIterable<T> {
    return iterate(signal, (until) => this.#read(until));
  }

  async *#read(signal: AbortSignal): AsyncGenerator<T, void, undefined> {
    let told = 0;
    while (!signal.aborted) {
      if (told !== this.#version) {
        told = this.#version;
        yield this.#value as T; // There is one: the version is not 0.
      } else if (this.#end !== undefined) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      } else {
        await this.#change(signal);
      }
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    let wake: () => void = () => undefined;
    const changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    this.#wake.add(wake);
    signal.addEventListener("abort", wake, { once: true });
    try {
      await changed;
    } finally {
      this.#wake.delete(wake);
      signal.removeEventListener("abort", wake);
    }
  }

  #wakeAll(): void {
    for (const wake of this.#wake) wake();
  }
}
