/**
 * How a failed request is met:
 * - `retryable`: the points go to another server, or to this one after a pause.
 * - `not-retryable`: the request itself is wrong. Its points fail.
 * - `unreachable`: the connection failed, so the server did not work on it. Retryable, and the server is avoided for a while.
 * - `overloaded`: the server asks for less. Retryable after its pushback or a pause, and paid for from the budget.
 * - `not-mine`: the server does not have these points (any more). The views are read again, when they are a function, and the re-send is free if they have moved the points.
 */
export type ErrorClass = "retryable" | "not-retryable" | "unreachable" | "overloaded" | "not-mine";

/** What `classify` says of an error. `pushbackMs`: do not send to this server again for so long. */
export interface Verdict {
  readonly class: ErrorClass;
  readonly pushbackMs?: number;
}

/** One failed request of a point. `error` is what the rpc threw, or a FanoutError "timeout" or "no-value". */
export interface Cause<V> {
  readonly view: V;
  readonly class: ErrorClass;
  readonly error: unknown;
}

/** A point that was not satisfied, and why. */
export interface PointFailure<P, V> {
  /** The index of the point in the call's `points`. */
  readonly offset: number;
  readonly point: P;
  /**
   * - `uncovered`: no view serves it.
   * - `not-retryable`: a server refused the request for good.
   * - `attempts`: all the sends that `retry.maxAttempts` allows failed.
   * - `budget`: a send failed and the budget had no token for another.
   * - `deadline`: the call's time was over first.
   */
  readonly reason: "uncovered" | "not-retryable" | "attempts" | "budget" | "deadline";
  /** What went wrong with each request that carried it, in the order of the failures. */
  readonly causes: readonly Cause<V>[];
}

/**
 * - `invalid-argument`: the call itself is wrong: an option, a point that is none, views of another space.
 * - `uncovered`: points are in no view. Nothing was sent when that was known at the start.
 * - `failed`: points were not satisfied after all the sends that attempts and budget allow.
 * - `deadline`: the deadline of the call passed first.
 * - `timeout`: (as a cause) a request gave nothing for `idleTimeoutMs`.
 * - `no-value`: (as a cause) with `perPoint`, a request ended without the value of a point.
 * - `bad-result`: (as a cause) the rpc returned neither a promise nor an async iterable, or yielded a value for a point it was not asked for.
 */
export type FanoutErrorCode =
  | "invalid-argument"
  | "uncovered"
  | "failed"
  | "deadline"
  | "timeout"
  | "no-value"
  | "bad-result";

/** The one error class of this package. Match on `code`, never on the message. */
export class FanoutError extends Error {
  readonly code: FanoutErrorCode;
  /** With "uncovered", "failed" and "deadline": every point that was not satisfied, ascending by offset. */
  readonly failures: readonly PointFailure<unknown, unknown>[];

  constructor(
    code: FanoutErrorCode,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly failures?: readonly PointFailure<unknown, unknown>[];
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "FanoutError";
    this.code = code;
    this.failures = options.failures ?? [];
  }
}
