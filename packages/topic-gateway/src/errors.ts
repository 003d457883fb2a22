/**
 * - `invalid-topic-name`, `invalid-subscription-name`, `invalid-consumer-name`: not 1 to 128 of `[A-Za-z0-9_]` (consumers also `-`, `.` and `:`).
 * - `invalid-key`: not 1 to 128 bytes of UTF-8.
 * - `invalid-range-size`: a range size factor that is no integer from 6 to 16.
 * - `invalid-hash-range`, `invalid-id`, `invalid-ack`: text that does not parse as one.
 * - `invalid-argument`: any other wrong argument.
 * - `message-too-large`: data or headers over the limit.
 * - `topic-not-found`, `topic-exists`, `subscription-not-found`, `subscription-exists`, `message-not-found`.
 * - `not-owner`: the buffer does not hold the range (any more).
 * - `unavailable`: nobody answers for the range or the segment now; trying again later can work.
 * - `overloaded`: too much is queued; slow down and try again.
 * - `lease-lost`: the consumer no longer holds the segment; somebody else may be reading it.
 * - `log-exists`, `log-missing`, `log-sealed`, `log-failed`: a segment log that is there already, is gone, was sealed, or must not be written any more.
 * - `corrupt`: stored bytes are damaged.
 * - `closed`: the object was closed.
 */
export type TopicErrorCode =
  | "invalid-topic-name"
  | "invalid-subscription-name"
  | "invalid-consumer-name"
  | "invalid-key"
  | "invalid-range-size"
  | "invalid-hash-range"
  | "invalid-id"
  | "invalid-ack"
  | "invalid-argument"
  | "message-too-large"
  | "topic-not-found"
  | "topic-exists"
  | "subscription-not-found"
  | "subscription-exists"
  | "message-not-found"
  | "not-owner"
  | "unavailable"
  | "overloaded"
  | "lease-lost"
  | "log-exists"
  | "log-missing"
  | "log-sealed"
  | "log-failed"
  | "corrupt"
  | "closed";

/** The one error class of the topic packages. Match on `code`, never on the message. */
export class TopicError extends Error {
  readonly code: TopicErrorCode;

  constructor(code: TopicErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "TopicError";
    this.code = code;
  }
}
