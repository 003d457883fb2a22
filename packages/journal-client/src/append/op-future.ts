import { Settlement } from "./settlement.js";

/** An operation that runs in the background. */
export interface OpFuture {
  /** Resolves when the operation has ended, well or not. Never rejects. */
  readonly done: Promise<void>;
  /** Waits for the end and gives the operation's error, or undefined when it went well. */
  err(): Promise<unknown>;
}

/** A set of operations, told apart by identity. */
export class OpFutures extends Set<OpFuture> {
  /** Whether `other` has all of these. The empty set is a subset of every set. */
  isSubsetOf(other: ReadonlySet<OpFuture>): boolean {
    for (const future of this) if (!other.has(future)) return false;
    return true;
  }
}

/** The smallest `OpFuture`: whoever made it says how it ended. */
export class AsyncOperation implements OpFuture {
  readonly #end = new Settlement();
  #error: unknown;

  get done(): Promise<void> {
    return this.#end.promise;
  }

  async err(): Promise<unknown> {
    await this.#end.promise;
    return this.#error;
  }

  /** Ends the operation: well, or with an error. Only the first call counts. */
  resolve(error?: unknown): void {
    if (this.#end.settled) return;
    this.#error = error;
    this.#end.settle();
  }

  /** Whether it has ended well, without waiting. */
  get succeeded(): boolean {
    return this.#end.settled && this.#error === undefined;
  }
}

/** An operation that has ended already. */
export function finishedOperation(error?: unknown): AsyncOperation {
  const operation = new AsyncOperation();
  operation.resolve(error);
  return operation;
}
