/** What an rpc is told beside the view and the offsets. */
export interface RpcContext<V> {
  /** Aborted when the request is no longer wanted: it lost to another one, ran out of time, or the caller left; with `perPoint`, also when it has given its last value. */
  readonly signal: AbortSignal;
  /** What is left of the call's deadline, in milliseconds; `Infinity` without one. A hedge and a re-send get what is left, not a fresh one. */
  readonly timeoutMs: number;
  /** Which send of these points this is, from 1. */
  readonly attempt: number;
  /** The other half of a tied pair (see `HedgeOptions.tied`), on both of its requests once both are sent. */
  readonly tie?: Tie<V>;
}

/** For servers that cancel each other: the same `id` on both requests of a pair, and the view that got the other one. */
export interface Tie<V> {
  readonly id: string;
  readonly view: V;
  /** Call it when the server has begun the work: the other request is aborted then and not only when this one has answered. */
  readonly begun: () => void;
}

/**
 * Sends one request for some of the call's points to one server. `offsets` index the `points` that were passed to the call; they
 * are ascending by point, never empty, and must not be changed. A promise is one result; an async iterable is as many as
 * it yields, and is read no faster than the caller reads. To fail, throw or reject, before or after results.
 *
 * Should stop when the signal is aborted. One that does not is not waited for: what it yields later is thrown away.
 */
export type Rpc<V, R> = (
  view: V,
  offsets: readonly number[],
  context: RpcContext<V>,
) => AsyncIterable<R> | Promise<R>;

/** What an rpc yields with `perPoint: true`: the value of one of its points. */
export interface PointValue<T> {
  /** One of the request's offsets. */
  readonly offset: number;
  readonly value: T;
}

/** One result of one request. */
export interface Chunk<V, R> {
  /** The view that answered. */
  readonly view: V;
  /** The offsets of the request, as they were passed to the rpc. With `perPoint`, the one offset of the value. */
  readonly offsets: readonly number[];
  readonly result: R;
  /**
   * Those of `offsets` for which another request has delivered something before: it failed half-way, or was hedged. Always
   * empty with `perPoint`, which delivers each point once.
   */
  readonly duplicates: readonly number[];
}
