import { Queue } from "./queue.js";

interface Reader<T> {
  readonly resolve: (result: IteratorResult<T, void>) => void;
  readonly reject: (error: unknown) => void;
}

export interface Failure {
  readonly error: unknown;
}

/** The chunks between a call's requests and its reader, who may be ahead (he waits) or behind (they do). */
export class Delivery<T extends object> {
  /** From this many waiting chunks on the reader is behind. */
  mostWaiting: number = Number.POSITIVE_INFINITY;
  readonly #chunks: Queue<T> = new Queue<T>();
  readonly #readers: Queue<Reader<T>> = new Queue<Reader<T>>();
  readonly #onPace: (behind: boolean) => void;
  #behind = false;
  #ended = false;
  #drained = false;
  #failure: Failure | undefined;

  constructor(onPace: (behind: boolean) => void) {
    this.#onPace = onPace;
  }

  /** Whether the reader is behind: from a full buffer until half of it is read. */
  get behind(): boolean {
    return this.#behind;
  }

  /** Whether the reader has been told of the end. */
  get drained(): boolean {
    return this.#drained;
  }

  push(chunk: T): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: chunk });
      return;
    }
    this.#chunks.push(chunk);
    if (!this.#behind && this.#chunks.length >= this.mostWaiting) {
      this.#behind = true;
      this.#onPace(true);
    }
  }

  /** The next chunk, then the failure, if there is one, and from then on the end. */
  read(): Promise<IteratorResult<T, void>> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      if (this.#behind && this.#chunks.length * 2 <= this.mostWaiting) {
        this.#behind = false;
        this.#onPace(false);
      }
      return Promise.resolve({ done: false, value: chunk });
    }
    return new Promise((resolve, reject) => {
      this.#readers.push({ resolve, reject });
      this.#endReaders();
    });
  }

  /** Nothing comes any more. What waits can still be read. */
  end(failure: Failure | undefined): void {
    if (this.#drained) return;
    this.#ended = true;
    this.#failure = failure;
    this.#endReaders();
  }

  /** Drops what waits. */
  clear(): void {
    this.#chunks.clear();
  }

  #endReaders(): void {
    if (!this.#ended) return;
    for (let reader = this.#readers.shift(); reader !== undefined; reader = this.#readers.shift()) {
      const failure = this.#failure;
      this.#drained = true;
      this.#failure = undefined;
      if (failure === undefined) reader.resolve({ done: true, value: undefined });
      else reader.reject(failure.error);
    }
  }
}
