import type { RpcContext, Tie } from "./rpc.js";

/** What the rpc is told. */
export class RequestContext<V> implements RpcContext<V> {
  declare readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly attempt: number;
  declare tie?: { -readonly [K in keyof Tie<V>]: Tie<V>[K] };
  readonly #request: { signal(): AbortSignal };

  constructor(request: { signal(): AbortSignal }, timeoutMs: number, attempt: number) {
    this.#request = request;
    this.timeoutMs = timeoutMs;
    this.attempt = attempt;
    // Its own, so that a copy by `{ ...context }` has it. One function for all, or each context would be of a shape of its own.
    Object.defineProperty(this, "signal", RequestContext.#signal);
  }

  static readonly #signal: PropertyDescriptor & ThisType<RequestContext<unknown>> = {
    enumerable: true,
    get() {
      return this.#request.signal();
    },
  };
}
