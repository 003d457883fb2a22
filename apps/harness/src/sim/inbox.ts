/** What has come in on a stream and was not taken yet. One reader. */
export class Inbox<T> implements AsyncIterableIterator<T, undefined> {
  readonly #items: T[] = [];
  readonly #onTake: () => void;
  readonly #onLeave: () => void;
  #waiting:
    | { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void }
    | undefined;
  #end: { readonly error?: unknown } | undefined;
  #left = false;

  /** `onTake` is called for each item that the reader takes, `onLeave` once if it leaves before the end. */
  constructor(onTake: () => void, onLeave: () => void) {
    this.#onTake = onTake;
    this.#onLeave = onLeave;
  }

  push(item: T): void {
    if (this.#end || this.#left) return;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!waiting) {
      this.#items.push(item);
      return;
    }
    this.#onTake();
    waiting.resolve({ done: false, value: item });
  }

  /** Nothing comes behind what is here. */
  end(): void {
    this.#finish({});
  }

  /** As a broken connection does it: what was not taken yet is lost. */
  fail(error: unknown): void {
    if (this.#end) return;
    this.#items.length = 0;
    this.#finish({ error });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const item = this.#items.shift();
    if (item !== undefined) {
      this.#onTake();
      return Promise.resolve({ done: false, value: item });
    }
    if (this.#left) return Promise.resolve({ done: true, value: undefined });
    if (this.#end) {
      if (!("error" in this.#end)) return Promise.resolve({ done: true, value: undefined });
      const { error } = this.#end;
      this.#end = {};
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<T, undefined>> {
    if (!this.#left) {
      this.#left = true;
      this.#items.length = 0;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve({ done: true, value: undefined });
      if (!this.#end) this.#onLeave();
    }
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #finish(end: { readonly error?: unknown }): void {
    if (this.#end) return;
    this.#end = end;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!waiting) return;
    if ("error" in end) {
      this.#end = {};
      waiting.reject(end.error);
    } else waiting.resolve({ done: true, value: undefined });
  }
}
