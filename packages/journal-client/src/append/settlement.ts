/** A thing that happens once. Its promise is made when somebody asks: most appends are never waited for one by one. */
export class Settlement {
  settled = false;
  #promise: Promise<void> | undefined;
  #resolve: (() => void) | undefined;

  get promise(): Promise<void> {
    if (this.#promise === undefined) {
      this.#promise = this.settled
        ? Promise.resolve()
        : new Promise((resolve) => {
            this.#resolve = resolve;
          });
    }
    return this.#promise;
  }

  settle(): void {
    this.settled = true;
    this.#resolve?.();
    this.#resolve = undefined;
  }
}
