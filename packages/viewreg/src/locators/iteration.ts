import { setMaxListeners } from "node:events";

/**
 * An iteration over `run` that keeps the promises of a Locator: it ends, without an error, when `signal` is aborted or the loop is
 * left, also while a `next` waits, and only after `run` has cleaned up. `run` gets a signal for both, and may throw its reason.
 */
export function iterate<T>(
  signal: AbortSignal,
  run: (signal: AbortSignal) => AsyncGenerator<T, void, undefined>,
): AsyncIterable<T> {
  return { [Symbol.asyncIterator]: () => new Iteration(signal, run) };
}

class Iteration<T> implements AsyncIterator<T, undefined> {
  readonly #outer: AbortSignal;
  readonly #leaving: AbortController = new AbortController();
  readonly #items: AsyncGenerator<T, void, undefined>;
  readonly #onAbort: () => void = () => void this.#leave(this.#outer.reason);
  #listens = false;
  #left: Promise<void> | undefined;

  constructor(outer: AbortSignal, run: (signal: AbortSignal) => AsyncGenerator<T, void, undefined>) {
    this.#outer = outer;
    // As many as `run` does at once: Node would warn of a leak above ten.
    setMaxListeners(0, this.#leaving.signal);
    // A generator does nothing before its first `next`.
    this.#items = run(this.#leaving.signal);
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.#outer.aborted) this.#onAbort();
    else if (!this.#listens && this.#left === undefined) {
      this.#listens = true;
      this.#outer.addEventListener("abort", this.#onAbort, { once: true });
    }
    try {
      const item = this.#left === undefined ? await this.#items.next() : undefined;
      if (this.#left === undefined && item !== undefined) {
        if (item.done === true) this.#unlisten();
        return item.done === true ? { done: true, value: undefined } : item;
      }
    } catch (error) {
      this.#unlisten();
      if (this.#left === undefined) throw error;
    }
    await this.#left;
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    await this.#leave(new Error("the loop was left"));
    return { done: true, value: undefined };
  }

  #leave(reason: unknown): Promise<void> {
    this.#unlisten();
    if (this.#left === undefined) {
      // Whoever leaves does not want to hear of trouble any more.
      this.#left = Promise.resolve().then(async () => {
        await this.#items.return().catch(() => undefined);
      });
      this.#leaving.abort(reason);
    }
    return this.#left;
  }

  #unlisten(): void {
    this.#outer.removeEventListener("abort", this.#onAbort);
  }
}
