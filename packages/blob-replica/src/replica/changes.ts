import { unlessAborted } from "./abort.js";

/** A number that grows with every change, and those who wait for it to grow. */
export class Changes {
  #version = 1;
  #ended = false;
  #wake = () => {};
  #next: Promise<void> = this.#another();

  get version(): number {
    return this.#version;
  }

  readonly bump = (): void => {
    this.#version++;
    const wake = this.#wake;
    this.#next = this.#another();
    wake();
  };

  #another(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  end(): void {
    this.#ended = true;
    this.bump();
  }

  /** What `now` gives, at once and after changes: the latest only. Ends at the end. @throws `signal.reason` */
  async *watch<T>(now: () => T, signal: AbortSignal | undefined): AsyncGenerator<T, void, undefined> {
    let seen = 0;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#ended) return;
      if (seen === this.#version) {
        await unlessAborted(this.#next, signal);
        continue;
      }
      seen = this.#version;
      yield now();
    }
  }

  /** Resolves when `done` is true; it is looked at after every change. @throws `signal.reason` and what `done` throws */
  async until(done: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    while (!done()) await unlessAborted(this.#next, signal);
  }
}
