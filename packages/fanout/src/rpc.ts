/** What an rpc is told beside the view and the offsets. */
export interface RpcContext<V> {
  /** Aborted when the request is no longer wanted: it lost to another one, ran out of time, or the caller left; with `perPoint`, also when it has given its last value. */
  readonly signal: AbortSignal;
  /** What is left of the call's deadline, in milliseconds; `Infinity` without one. A hedge and a re-send get what is left, not a fresh one. */
  readonly timeoutMs: number;
  /** Which send of these points this is, from 1. */
  readonly attempt: number;
  /** With `HedgeOptions.tied`, from the start. */
  readonly tie?: Tie<V>;
}

/**
 * For servers that cancel each other: the pair of a request and its hedge. Send the `id` with both requests and, with the second, the name of
 * the server that has the first. When the second server begins, it tells the first one to drop what it has under that id; the first
 * one answers whether it had begun before.
 */
export interface Tie<V> {
  /** The same for both requests, and for no other pair of any process. */
  readonly id: string;
  /** The view that got the other request: on the second request the first one's, on the first one undefined until the second is sent. */
  readonly view: V | undefined;
  /**
   * Call it when the server has said that it has begun the work: the other request is aborted then, or not sent at all, and not only
   * when this one has answered. Without effect when the other one has begun before.
   */
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
