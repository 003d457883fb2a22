/** So many turns of the microtask queue lie between being let in and having written, even when a caller wraps `ready` a few times. */
const TURNS = 8;

/** So many callers are let in before the first of them has written: in a loop nobody waits, and a crowd does not all come at once. */
const BURST = 32;

/** Lets callers in while there is room, a few at a time, so that each few see what the last took. */
export class RoomQueue {
  readonly #hasRoom: () => boolean;
  #waiting: (() => void)[] = [];
  #letting = false;
  /** Let in since there was time to write. */
  #inside = 0;

  constructor(hasRoom: () => boolean) {
    this.#hasRoom = hasRoom;
  }

  /** @throws the signal's reason */
  enter(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#waiting.length > 0 || this.#inside >= BURST || !this.#hasRoom()) return this.#wait(signal);
    this.#inside++;
    if (!this.#letting) void this.#letIn();
    return Promise.resolve();
  }

  /** There may be room now. */
  look(): void {
    if (!this.#letting && this.#waiting.length > 0 && this.#hasRoom()) void this.#letIn();
  }

  async #letIn(): Promise<void> {
    this.#letting = true;
    do {
      for (let turn = 0; turn < TURNS; turn++) await undefined;
      this.#inside = 0;
    } while (this.#letOneIn());
    this.#letting = false;
  }

  #letOneIn(): boolean {
    const next = this.#hasRoom() ? this.#waiting.shift() : undefined;
    next?.();
    return next !== undefined;
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
