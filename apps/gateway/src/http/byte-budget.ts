/** Bytes that requests hold at the same time: of all of them together no more than a limit. */
export class ByteBudget {
  readonly #maxBytes: number;
  readonly #whenSpent: () => Error;
  #bytes = 0;

  /** @param whenSpent what whoever wants more is told */
  constructor(maxBytes: number, whenSpent: () => Error) {
    this.#maxBytes = maxBytes;
    this.#whenSpent = whenSpent;
  }

  /** Held now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Nothing at first. To be released, once, by whoever holds it. */
  hold(): HeldBytes {
    let held = 0;
    return {
      add: (bytes) => {
        if (this.#bytes + bytes > this.#maxBytes) throw this.#whenSpent();
        this.#bytes += bytes;
        held += bytes;
      },
      release: () => {
        this.#bytes -= held;
        held = 0;
      },
    };
  }
}

export interface HeldBytes {
  /** @throws what the budget says when it is spent; then nothing was added */
  add(bytes: number): void;
  release(): void;
}
