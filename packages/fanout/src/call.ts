import type { CallRun } from "./call-run.js";
import type { PointFailure } from "./errors.js";
import type { Chunk } from "./rpc.js";

/**
 * The results of one call, in no particular order: `for await (const chunk of call)`. Can be iterated once.
 *
 * Nothing happens before the first `next()`. It ends when every point is satisfied, without waiting for requests that lost.
 * Otherwise it throws, after the chunks that came before: a FanoutError "invalid-argument", "uncovered", "failed" or
 * "deadline"; or, at once, the reason of the aborted signal. Leaving the loop aborts all requests.
 */
export interface Call<P, V, R> extends AsyncGenerator<Chunk<V, R>, void, undefined> {
  /**
   * Resolves when the call has ended and every rpc of it has returned, also those that lost or were aborted. Never rejects. Stays
   * pending as long as an rpc does not return, and before the call is iterated.
   */
  readonly settled: Promise<void>;
  /** Complete when the iteration has ended: the points that were not satisfied, ascending by offset. */
  readonly failures: readonly PointFailure<P, V>[];
}

/**
 * Not an `async function*`: that would let `return()` wait for a `next()` that is under way, and would keep the chunks of
 * several `next()` calls from being handed out as they come.
 */
export class FanoutCall<V> implements Call<unknown, V, unknown> {
  readonly settled: Promise<void>;
  readonly #run: CallRun<V>;

  constructor(run: CallRun<V>) {
    this.#run = run;
    this.settled = run.settled;
  }

  get failures(): readonly PointFailure<unknown, V>[] {
    return this.#run.failures;
  }

  next(): Promise<IteratorResult<Chunk<V, unknown>, void>> {
    return this.#run.read();
  }

  async return(): Promise<IteratorResult<Chunk<V, unknown>, void>> {
    await this.#run.leave();
    return { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorResult<Chunk<V, unknown>, void>> {
    await this.#run.leave();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run.leave();
  }
}
