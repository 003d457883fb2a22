/**
 * - `invalid-argument`: the request itself is wrong (empty key, bad range, duplicate put in one transaction, non-positive TTL).
 * - `lease-not-found`: the lease never existed, has expired or was revoked.
 * - `compacted`: the asked revision is older than what is kept; `compactRevision` on the error says the oldest one left.
 * - `history-lost`: the store's history is not the one this client saw before (another cluster id, or a revision that went back).
 * - `unavailable`: not reachable now. A transaction that ended so may or may not have been applied.
 * - `fenced`: an embedded store was opened again by somebody else; this instance will never acknowledge anything again. A
 *   transaction that ended so may or may not have been applied.
 * - `corrupt`: the durable file is damaged in the middle, not only torn at its end.
 * - `closed`: this object was closed, or (an embedded store) closed itself because its disk failed: the cause says so.
 */
export type CoordErrorCode =
  | "invalid-argument"
  | "lease-not-found"
  | "compacted"
  | "history-lost"
  | "unavailable"
  | "fenced"
  | "corrupt"
  | "closed";

/** The one error class of this package. Match on `code`, never on the message. */
export class CoordError extends Error {
  readonly code: CoordErrorCode;
  /** With `compacted`: the oldest revision that can still be read or watched. */
  readonly compactRevision: bigint | undefined;

  constructor(
    code: CoordErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly compactRevision?: bigint } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CoordError";
    this.code = code;
    this.compactRevision = options.compactRevision;
  }
}
