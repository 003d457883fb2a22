/** Node 20 has no AsyncDisposableStack. Later things close first; the first error of closing is thrown when all are closed. */
export class AsyncStack {
  readonly #undo: (() => PromiseLike<void>)[] = [];
  #closing: Promise<void> | undefined;

  use<T extends AsyncDisposable>(value: T): T {
    this.#undo.push(() => value[Symbol.asyncDispose]());
    return value;
  }

  defer(undo: () => PromiseLike<void>): void {
    this.#undo.push(undo);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const errors: unknown[] = [];
    for (let undo = this.#undo.pop(); undo; undo = this.#undo.pop()) {
      try {
        await undo();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
