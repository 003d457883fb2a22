/** So many turns of the microtask queue lie between being let in and having written, even when a caller wraps `ready` a few times. */
const TURNS = 8;

/** Lets callers in while there is room, one after the other, so that each sees what the last one took. */
export class RoomQueue {
  readonly #hasRoom: () => boolean;
  #waiting: (() => void)[] = [];
  #letting = false;

  constructor(hasRoom: () => boolean) {
    this.#hasRoom = hasRoom;
  }

  /** @throws the signal's reason */
  enter(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.length === 0 && this.#hasRoom()) return Promise.resolve();
    return this.#wait(signal);
  }

  /** There may be room now. */
  look(): void {
    if (this.#letting || this.#waiting.length === 0 || !this.#hasRoom()) return;
    this.#letting = true;
    void this.#letIn();
  }

  async #letIn(): Promise<void> {
    while (this.#hasRoom()) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      next();
      for (let turn = 0; turn < TURNS; turn++) await undefined;
    }
    this.#letting = false;
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    let wake = (): void => {};
    try {
      await new Promise<void>((resolve) => {
        wake = resolve;
        this.#waiting.push(resolve);
        signal?.addEventListener("abort", wake);
      });
    } finally {
      signal?.removeEventListener("abort", wake);
    }
    if (!signal?.aborted) return;
    this.#waiting = this.#waiting.filter((other) => other !== wake);
    throw signal.reason;
  }
}
