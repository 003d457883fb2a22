/** What last went wrong with something, told once per kind until something else goes wrong, or nothing. */
export class Problems {
  #kind: string | undefined;
  #error: unknown;

  /** @returns whether it is news */
  add(kind: string, error: unknown): boolean {
    const news = kind !== this.#kind;
    this.#kind = kind;
    this.#error = error;
    return news;
  }

  clear(): void {
    this.#kind = undefined;
    this.#error = undefined;
  }

  get kind(): string | undefined {
    return this.#kind;
  }

  get error(): unknown {
    return this.#error;
  }
}
