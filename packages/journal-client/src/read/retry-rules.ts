import { isJournalError, type JournalErrorCode } from "../errors.js";
import type { Fragment } from "../protocol/fragment.js";
import type { ReadRequest } from "../protocol/requests.js";

/** What a retrying reader remembers of its failures. */
export interface ReadFailures {
  /** Tries since the last content. */
  readonly attempt: number;
  /** Tries in a row that were not allowed. */
  readonly refusals: number;
  /** Failures to read one fragment directly, since the last content. */
  readonly direct: number;
  /** The broker reads until here: the end of a fragment that could not be read directly. */
  readonly proxyUntil: bigint | undefined;
  /** Whether the present try gave content. */
  readonly content: boolean;
}

export const NO_FAILURES: ReadFailures = {
  attempt: 0,
  refusals: 0,
  direct: 0,
  proxyUntil: undefined,
  content: false,
};

/** How a try ended. */
export interface Ending {
  readonly offset: bigint;
  readonly fragment: Fragment | undefined;
  /** Undefined when the broker closed the stream without an error. */
  readonly failed: { readonly error: unknown } | undefined;
}

export interface Verdict {
  readonly failures: ReadFailures;
  /** The caller gets the error. */
  readonly surfaces: boolean;
  /** Which step of the back-off to wait; undefined is none. */
  readonly backoff: number | undefined;
}

const MAX_REFUSALS = 4;
/** Tries without content, however they failed: a journal that was just made takes a while to be known everywhere. As Gazette's client counts. */
const MAX_TRIES_TO_FIND = 5;
const MAX_DIRECT = 3;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

const SURFACED: ReadonlySet<JournalErrorCode> = new Set(["suspended", "invalid-argument", "closed"]);
/** Trying again helps none of these: the broker must read the fragment. */
const NEVER_DIRECT: ReadonlySet<JournalErrorCode> = new Set(["url-refused", "unsupported-codec"]);
/** Only direct reading fails so. */
const NOT_DIRECT_NOW: ReadonlySet<JournalErrorCode> = new Set([
  "unexpected-eof",
  "did-not-read-expected-eof",
  "fragment-corrupt",
  "fragment-fetch",
  "fragment-not-found",
]);

/** After content. */
export function progressed(failures: ReadFailures): ReadFailures {
  return failures.content && failures.attempt === 0 && failures.refusals === 0 && failures.direct === 0
    ? failures
    : { ...NO_FAILURES, proxyUntil: failures.proxyUntil, content: true };
}

/** The request of the next try. */
export function nextRequest(request: ReadRequest, failures: ReadFailures): ReadRequest {
  const { proxyUntil } = failures;
  const { offset = 0n, endOffset = 0n } = request;
  if (proxyUntil === undefined || offset >= proxyUntil) {
    return request;
  }
  return {
    ...request,
    doNotProxy: false,
    endOffset: endOffset === 0n || endOffset > proxyUntil ? proxyUntil : endOffset,
  };
}

/** Whether `endOffset` is reached, or passed. */
export function isEndReached({ endOffset = 0n }: ReadRequest, offset: bigint): boolean {
  return endOffset !== 0n && offset >= endOffset;
}

/** The request of a seek. Behind its end there is nothing to ask for, which is no mistake of the caller's. */
export function soughtRequest(request: ReadRequest, offset: bigint): ReadRequest {
  return { ...request, offset, ...(isEndReached(request, offset) ? { endOffset: offset } : {}) };
}

/** What becomes of a try that ended before the caller's end. */
export function judge(failures: ReadFailures, request: ReadRequest, ending: Ending): Verdict {
  const { offset, fragment, failed } = ending;
  const { attempt } = failures;
  const proxied = failures.proxyUntil !== undefined;
  const proxyUntil = proxied && offset < failures.proxyUntil! ? failures.proxyUntil : undefined;
  const next: ReadFailures = { ...failures, attempt: attempt + 1, refusals: 0, proxyUntil, content: false };

  if (failed === undefined) {
    // Brokers end streams all the time. That is no failure while content comes; at once again and again it is one.
    return failures.content
      ? { failures: { ...next, attempt: 0 }, surfaces: false, backoff: undefined }
      : { failures: next, surfaces: false, backoff: attempt === 0 ? undefined : attempt - 1 };
  }
  const { error } = failed;
  const code = isJournalError(error) ? error.code : undefined;
  const surfaced: Verdict = { failures: { ...NO_FAILURES, proxyUntil }, surfaces: true, backoff: undefined };
  const retried: Verdict = { failures: next, surfaces: false, backoff: attempt };

  if (code === undefined) {
    return retried;
  }
  if (SURFACED.has(code) || (code === "offset-not-yet-available" && request.block !== true)) {
    return surfaced;
  }
  if (code === "journal-not-found") {
    return request.header !== undefined || attempt + 1 >= MAX_TRIES_TO_FIND ? surfaced : retried;
  }
  if (isRefusal(error, code)) {
    const refusals = failures.refusals + 1;
    return refusals >= MAX_REFUSALS ? surfaced : { ...retried, failures: { ...next, refusals } };
  }
  if (NEVER_DIRECT.has(code)) {
    return {
      failures: { ...next, proxyUntil: fragment?.end },
      surfaces: false,
      backoff: proxied ? attempt : undefined,
    };
  }
  if (NOT_DIRECT_NOW.has(code)) {
    if (fragment !== undefined && offset >= fragment.end) {
      // All of it came, and the file goes on behind it: the next fragment is another file.
      return { failures: { ...next, attempt: 0, direct: 0 }, surfaces: false, backoff: undefined };
    }
    const direct = failures.direct + 1;
    return direct < MAX_DIRECT
      ? { ...retried, failures: { ...next, direct } }
      : { ...retried, failures: { ...next, direct: 0, proxyUntil: fragment?.end } };
  }
  // The broker failed at what it was asked to read in the client's place: once more directly, and then again the broker.
  return proxyUntil === undefined
    ? retried
    : { ...retried, failures: { ...next, direct: MAX_DIRECT - 1, proxyUntil: undefined } };
}

function isRefusal(error: unknown, code: JournalErrorCode): boolean {
  return (
    code === "not-allowed" ||
    (isJournalError(error, "transport") &&
      (error.grpcCode === PERMISSION_DENIED || error.grpcCode === UNAUTHENTICATED))
  );
}
