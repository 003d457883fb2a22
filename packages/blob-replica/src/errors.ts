/**
 * - `invalid-argument`: an option or an argument is wrong.
 * - `invalid-ref`: not 64 hex digits, not 32 bytes.
 * - `not-found`: the store does not have the blob.
 * - `corrupt`: what the store has under the ref is another content, or part of it.
 * - `unavailable`: the store cannot be reached, or did not answer.
 * - `refused`: the store does not let this caller do this: credentials, a read-only folder, more bytes than it takes (`moreThanBytes` when it has them already).
 * - `full`: the store has no room.
 * - `queue-full`: the queue of an asynchronous store has no room, and `whenFull` is "reject".
 * - `unordered`: a store listed its refs out of order or twice.
 * - `unsupported`: the store cannot do this.
 * - `conflict`: an anchor was changed by somebody else.
 * - `all-failed`: every store failed; `failures` has each one's own cause.
 * - `failed-strict`: an asynchronous write failed and the replica is strict.
 * - `bad-data`: bytes that are no tree, no encrypted or compressed blob, no queue file of ours.
 * - `closed`: the store was closed.
 */
export type BlobErrorCode =
  | "invalid-argument"
  | "invalid-ref"
  | "not-found"
  | "corrupt"
  | "unavailable"
  | "refused"
  | "full"
  | "queue-full"
  | "unordered"
  | "unsupported"
  | "conflict"
  | "all-failed"
  | "failed-strict"
  | "bad-data"
  | "closed";

/** What one store of several answered. */
export interface StoreFailure {
  /** The name that the store was given. */
  readonly store: string;
  readonly error: unknown;
}

export interface BlobErrorOptions {
  readonly cause?: unknown;
  readonly store?: string;
  readonly failures?: readonly StoreFailure[];
  readonly moreThanBytes?: number;
}

/** The one error class of this package. Match on `code`, never on the message. */
export class BlobError extends Error {
  readonly code: BlobErrorCode;
  /** The store that failed, where there are several. */
  readonly store: string | undefined;
  /** Of a failure of several stores, each with its own cause; else empty. */
  readonly failures: readonly StoreFailure[];
  /**
   * Of a "refused" read: the store has more than so many bytes under the ref, too many for it to read them all. So what it has is damaged where the blob is no larger
   * than that, and else nobody knows.
   */
  readonly moreThanBytes: number | undefined;

  constructor(code: BlobErrorCode, message: string, options: BlobErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "BlobError";
    this.code = code;
    this.store = options.store;
    this.failures = options.failures ?? [];
    this.moreThanBytes = options.moreThanBytes;
  }
}

/** Whether a store that gave this error for a blob of so many bytes lacks it, or has it damaged, so that the blob is to be put there again. */
export function isDamage(error: unknown, bytes: number): boolean {
  if (!(error instanceof BlobError)) return false;
  const { code, moreThanBytes } = error;
  return (
    code === "not-found" || code === "corrupt" || (moreThanBytes !== undefined && bytes <= moreThanBytes)
  );
}
