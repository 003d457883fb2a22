/** Puts under way at the same time, within a number and a sum of bytes. After the first failure no more are begun. */
export class PutWindow {
  readonly #maxPuts: number;
  readonly #maxBytes: number;
  readonly #running: Set<Promise<void>> = new Set();
  #bytes = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(limits: { readonly maxPuts: number; readonly maxBytes: number }) {
    this.#maxPuts = limits.maxPuts;
    this.#maxBytes = limits.maxBytes;
  }

  /** Waits for room, then begins. One that is larger than all the room goes alone. @throws what an earlier one failed with */
  async begin(bytes: number, put: () => Promise<void>): Promise<void> {
    while (
      this.#running.size > 0 &&
      (this.#running.size >= this.#maxPuts || this.#bytes + bytes > this.#maxBytes)
    ) {
      await Promise.race(this.#running);
    }
    this.#check();
    this.#bytes += bytes;
    const running: Promise<void> = put()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running.delete(running);
        this.#bytes -= bytes;
      });
    this.#running.add(running);
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Resolves when all are done. @throws what the first of them failed with */
  async done(): Promise<void> {
    await this.settled();
    this.#check();
  }

  #check(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
