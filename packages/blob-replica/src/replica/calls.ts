import { BlobError } from "../errors.js";

/** What runs: to know when nothing does any more. */
export class Calls {
  readonly #running = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  /** Aborted when the close begins, for those who wait for something that will not come. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** @throws BlobError "closed" */
  throwIfClosed(): void {
    if (this.#closed) throw new BlobError("closed", "the replica was closed");
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    const running = call();
    const settled = running.then(
      () => {},
      () => {},
    );
    this.background(settled);
    return await running;
  }

  /** It never rejects. */
  background(settled: Promise<void>): void {
    this.#running.add(settled);
    void settled.then(() => this.#running.delete(settled));
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Once; the second call waits for the first. */
  async close(reason: unknown, work: () => Promise<void>): Promise<void> {
    if (!this.#closed) {
      // Set before the work begins: what it wakes must find it closed.
      this.#closed = Promise.resolve().then(work);
      this.#closing.abort(reason);
    }
    await this.#closed;
  }
}
