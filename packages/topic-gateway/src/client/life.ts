import { TopicError } from "../errors.js";

/**
 * From the opening of a client to its closing. What a caller waits for runs under it: with the end it fails with "closed", and nothing is
 * begun behind it.
 */
export class Life {
  readonly #whose: string;
  readonly #underWay = new Set<Operation>();
  #over: TopicError | undefined;
  #ending: Promise<void> | undefined;

  /** @param whose for the message of the errors: "the client" */
  constructor(whose: string) {
    this.#whose = whose;
  }

  /**
   * Runs `work` with a signal that aborts with the caller's, and with the end. In the latter case it fails at once, and `end` waits for what
   * `work` still has to do. @throws TopicError "closed", what `work` does
   */
  run<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const operation = this.#begin(signal, reject);
      void (async () => {
        try {
          resolve(await work(operation.signal));
        } catch (error) {
          reject(error);
        } finally {
          this.#finish(operation);
        }
      })();
    });
  }

  /** As `run`, for what is iterated, which ends by the signal alone. */
  async *iterate<T>(
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const operation = this.#begin(signal);
    try {
      for await (const item of work(operation.signal)) {
        operation.isSuspended = true;
        yield item;
        operation.isSuspended = false;
      }
    } finally {
      this.#finish(operation);
    }
  }

  /** Refuses what comes and ends what is under way. Resolves when nothing of it runs any more. */
  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<void> {
    this.#over = new TopicError("closed", `${this.#whose} was closed`);
    const running: Promise<void>[] = [];
    for (const operation of [...this.#underWay]) {
      // Whoever leaves a loop without a word keeps it suspended for ever.
      if (!operation.isSuspended) running.push(operation.finished());
      operation.end(this.#over);
    }
    await Promise.all(running);
  }

  #begin(signal: AbortSignal | undefined, onEnd?: (reason: unknown) => void): Operation {
    if (this.#over) throw this.#over;
    const operation = new Operation(signal, onEnd);
    this.#underWay.add(operation);
    return operation;
  }

  #finish(operation: Operation): void {
    this.#underWay.delete(operation);
    operation.finish();
  }
}

/** Not AbortSignal.any: in Node 20 a signal that lives long never forgets what was derived from it. */
class Operation {
  /** Its caller has an item and has not asked for the next one. */
  isSuspended = false;
  readonly #abort = new AbortController();
  readonly #onEnd: ((reason: unknown) => void) | undefined;
  readonly #unlisten: () => void;
  #onFinished: (() => void) | undefined;

  constructor(caller: AbortSignal | undefined, onEnd: ((reason: unknown) => void) | undefined) {
    this.#onEnd = onEnd;
    const onAbort = (): void => this.#abort.abort(caller?.reason);
    caller?.addEventListener("abort", onAbort, { once: true });
    this.#unlisten = () => caller?.removeEventListener("abort", onAbort);
    if (caller?.aborted) onAbort();
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  end(reason: TopicError): void {
    this.#abort.abort(reason);
    // The caller's own, if that came first.
    this.#onEnd?.(this.signal.reason);
  }

  finish(): void {
    this.#unlisten();
    this.#onFinished?.();
  }

  finished(): Promise<void> {
    return new Promise((resolve) => {
      this.#onFinished = resolve;
    });
  }
}
