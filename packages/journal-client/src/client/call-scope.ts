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
  /** Made when somebody asks for the signal: for a call that goes well at once, it would be a good part of the cost. */
  #controller: AbortController | undefined;
  #abortion: { readonly reason: unknown } | undefined;
  readonly #onEnd: () => void;
  readonly #onAbort = (): void => this.abort(this.#caller?.reason);
  #settle: () => void = () => {};
  /** Called at the abort. There is one at a time, so that it needs no signal. */
  onAbort: (() => void) | undefined;
  /** Resolves when the call is over. */
  readonly ended: Promise<void> = new Promise((resolve) => {
    this.#settle = resolve;
  });

  constructor(caller: AbortSignal | undefined, onEnd: () => void) {
    this.#caller = caller;
    this.#onEnd = onEnd;
    caller?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get aborted(): boolean {
    return this.#abortion !== undefined;
  }

  /** What the call has to fail with once it is aborted. */
  get reason(): unknown {
    return this.#abortion?.reason;
  }

  /** Aborted with the same reason. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortion !== undefined) this.#controller.abort(this.#abortion.reason);
    }
    return this.#controller.signal;
  }

  /** Only the first has an effect. */
  abort(reason: unknown = new DOMException("the call was given up", "AbortError")): void {
    if (this.#abortion !== undefined) return;
    this.#abortion = { reason };
    this.#controller?.abort(reason);
    this.onAbort?.();
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
    this.onAbort = undefined;
    this.#caller?.removeEventListener("abort", this.#onAbort);
    this.#onEnd();
    this.#settle();
  }
}

function closedError(): JournalError {
  return new JournalError("closed", "The client was closed.");
}
