/**
 * What a broker answers instead of OK:
 * - `journal-not-found`, `no-journal-primary-broker`, `not-journal-primary-broker`, `insufficient-journal-brokers`, `not-journal-broker`,
 *   `offset-not-yet-available`, `wrong-route`, `proposal-mismatch`, `etcd-transaction-failed`, `not-allowed`, `wrong-append-offset`,
 *   `index-has-greater-offset`, `register-mismatch`, `suspended`, `fragment-store-unhealthy`: as in the protocol.
 */
export type StatusErrorCode =
  | "journal-not-found"
  | "no-journal-primary-broker"
  | "not-journal-primary-broker"
  | "insufficient-journal-brokers"
  | "not-journal-broker"
  | "offset-not-yet-available"
  | "wrong-route"
  | "proposal-mismatch"
  | "etcd-transaction-failed"
  | "not-allowed"
  | "wrong-append-offset"
  | "index-has-greater-offset"
  | "register-mismatch"
  | "suspended"
  | "fragment-store-unhealthy";

/**
 * Every way in which this package fails:
 * - `invalid-argument`: what was given is wrong. Nothing was sent.
 * - `invalid-response`: a broker said what the protocol does not allow. The stream was ended.
 * - `transport`: the call itself failed; `grpcCode` says how.
 * - `offset-jump`: the next byte that exists is behind the one asked for. The reader goes on from there.
 * - `seek-requires-new-reader`: a reader cannot get to this offset; open another.
 * - `unexpected-eof`: a fragment (or a message, or a listing) ended before its end.
 * - `did-not-read-expected-eof`: a fragment went on behind its end.
 * - `fragment-not-found`: the store has no such fragment.
 * - `fragment-corrupt`: a fragment does not decompress.
 * - `fragment-fetch`: the store did not give the fragment; the message holds its answer.
 * - `unsupported-codec`: the decompressor of a fragment is not installed.
 * - `url-refused`: a fragment's URL has a scheme that is not allowed, or leaves the root that is.
 * - `aborted`: an append was ended by its own side: rolled back, unless its message says that the outcome is not known.
 * - `dependency-failed`: an append waited for an operation that failed.
 * - `buffer-full`: an append service holds as much as it may.
 * - `spill-failed`: appends could not be kept on the local disk.
 * - `bad-message`: (messages) bytes that are no message of the journal's framing.
 * - `no-journals`: (messages) a mapping has no journal to choose from.
 * - `closed`: the client, reader or service was closed.
 */
export type JournalErrorCode =
  | StatusErrorCode
  | "invalid-argument"
  | "invalid-response"
  | "transport"
  | "offset-jump"
  | "seek-requires-new-reader"
  | "unexpected-eof"
  | "did-not-read-expected-eof"
  | "fragment-not-found"
  | "fragment-corrupt"
  | "fragment-fetch"
  | "unsupported-codec"
  | "url-refused"
  | "aborted"
  | "dependency-failed"
  | "buffer-full"
  | "spill-failed"
  | "bad-message"
  | "no-journals"
  | "closed";

export interface JournalErrorOptions {
  readonly cause?: unknown;
  /** Of a `transport` failure: the number of gRPC's status. */
  readonly grpcCode?: number;
  /** Of a `transport` failure: no part of the call was sent. Default false. */
  readonly nothingSent?: boolean;
  readonly journal?: string;
}

/** The one error class of this package. Match on `code`, never on the message. */
export class JournalError extends Error {
  readonly code: JournalErrorCode;
  /** Of a `transport` failure: the number of gRPC's status, as 14 for unavailable. */
  readonly grpcCode: number | undefined;
  /** Of a `transport` failure: no part of the call was sent, so that no broker has done anything. Otherwise one may have. */
  readonly nothingSent: boolean;
  readonly journal: string | undefined;

  constructor(code: JournalErrorCode, message: string, options: JournalErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "JournalError";
    this.code = code;
    this.grpcCode = options.grpcCode;
    this.nothingSent = options.nothingSent ?? false;
    this.journal = options.journal;
  }
}

/** Whether an error is this package's, with this code. */
export function isJournalError(error: unknown, code?: JournalErrorCode): error is JournalError {
  return error instanceof JournalError && (code === undefined || error.code === code);
}
