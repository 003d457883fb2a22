import { JournalError } from "../errors.js";

/** The calls of a client that are not over. */
export class CallScopes {
  readonly #open = new Set<CallScope>();
  #closed = false;

  get size(): number {
    return this.#open.size;
  }

  /** @throws JournalError "closed"; the signal's reason */
  open(signal: AbortSignal | undefined): CallScope {
    if (this.#closed) throw closedError();
    signal?.throwIfAborted();
    const scope = new CallScope(signal, () => this.#open.delete(scope));
    this.#open.add(scope);
    return scope;
  }

  /** Ends all calls, and waits until they are over. */
  async close(): Promise<void> {
    this.#closed = true;
    const open = [...this.#open];
    for (const scope of open) scope.abort(closedError());
    await Promise.all(open.map((scope) => scope.ended));
  }
}

/** The life of one call: until it is over, or its caller's signal or the client's close ends it. */
export class CallScope {
  readonly #caller: AbortSignal | undefined;
  readonly #controller = new AbortController();
  readonly #onEnd: () => void;
  readonly #onAbort = (): void => this.abort(this.#caller?.reason);
  #settle: () => void = () => {};
  /** Resolves when the call is over. */
  readonly ended: Promise<void> = new Promise((resolve) => {
    this.#settle = resolve;
  });

  constructor(caller: AbortSignal | undefined, onEnd: () => void) {
    this.#caller = caller;
    this.#onEnd = onEnd;
    caller?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Aborted with the reason that the call has to fail with. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Waits for something that may not look at a signal. */
  async race<T>(promise: T | Promise<T>): Promise<T> {
    const { signal } = this;
    signal.throwIfAborted();
    if (!(promise instanceof Promise)) return promise;
    let onAbort: () => void = () => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([promise, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  end(): void {
    this.#caller?.removeEventListener("abort", this.#onAbort);
    this.#onEnd();
    this.#settle();
  }
}

function closedError(): JournalError {
  return new JournalError("closed", "The client was closed.");
}
