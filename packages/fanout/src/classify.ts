import { attempt } from "./describe.js";
import type { ErrorClass, Verdict } from "./errors.js";

// Status codes of gRPC: https://grpc.github.io/grpc/core/md_doc_statuscodes.html. UNAVAILABLE and RESOURCE_EXHAUSTED have
// classes of their own; what is neither here nor there (CANCELLED 1, UNKNOWN 2, DEADLINE_EXCEEDED 4, ABORTED 10, INTERNAL 13,
// DATA_LOSS 15) is worth another server.
const unavailable = 14;
const resourceExhausted = 8;
/** INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED, UNAUTHENTICATED. */
const refusals: ReadonlySet<number> = new Set([3, 5, 6, 7, 9, 11, 12, 16]);

/** Codes of Node's network errors, and the two of its fetch that say the same. */
const connectionCodes: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_SOCKET",
]);

/**
 * What a failed request is taken for when `classify` is not given:
 *
 * | the error has | class |
 * | --- | --- |
 * | gRPC's `code` 14 (UNAVAILABLE) | `unreachable` |
 * | gRPC's `code` 8 (RESOURCE_EXHAUSTED) | `overloaded` |
 * | gRPC's `code` 3, 5, 6, 7, 9, 11, 12 or 16 | `not-retryable` |
 * | a `code` of Node's network errors (ECONNREFUSED, ...), itself or its `cause`, as with fetch | `unreachable` |
 * | HTTP's `status` 429 or 503 | `overloaded` |
 * | anything else | `retryable` |
 *
 * The pushback comes from gRPC's metadata `grpc-retry-pushback-ms`, where one that is negative or no number makes the error
 * `not-retryable` (gRFC A6), or from the header `retry-after`, when it is in seconds. No error is taken for `not-mine`: how a
 * server says that is its own matter, so whoever reads views from a function gives a `classify` that knows it.
 *
 * Never throws, whatever the error is made of.
 */
export function classifyError(error: unknown): Verdict {
  // Numeric codes of DOM exceptions are another numbering.
  if (typeof error !== "object" || error === null || isDomException(error)) return { class: "retryable" };
  const code = read(error, "code");
  if (typeof code === "number" && code >= 1 && code <= 16) return grpcVerdict(code, error);
  if (connectionCodes.has(code) || connectionCodes.has(read(read(error, "cause"), "code"))) {
    return { class: "unreachable" };
  }
  const status = read(error, "status");
  if (status === 429 || status === 503) return httpVerdict(error);
  return { class: "retryable" };
}

function isDomException(error: object): boolean {
  return attempt(() => error instanceof DOMException) ?? false;
}

function grpcVerdict(code: number, error: object): Verdict {
  if (refusals.has(code)) return { class: "not-retryable" };
  const name: ErrorClass =
    code === unavailable ? "unreachable" : code === resourceExhausted ? "overloaded" : "retryable";
  const pushback = header(read(error, "metadata"), "grpc-retry-pushback-ms");
  if (pushback === undefined) return { class: name };
  // "If the value is negative or unparseable, the client must not retry" (gRFC A6).
  return /^\d{1,10}$/.test(pushback)
    ? { class: name, pushbackMs: Number(pushback) }
    : { class: "not-retryable" };
}

function httpVerdict(error: object): Verdict {
  const seconds = header(read(error, "headers"), "retry-after");
  return seconds !== undefined && /^\d{1,7}$/.test(seconds)
    ? { class: "overloaded", pushbackMs: Number(seconds) * 1000 }
    : { class: "overloaded" };
}

/** The first value under a name, from grpc-js's `Metadata` (whose `get` gives a list) or from `Headers` (whose `get` gives one or null). */
function header(headers: unknown, name: string): string | undefined {
  return attempt(() => {
    const get = read(headers, "get");
    if (typeof get !== "function") return undefined;
    const found: unknown = get.call(headers, name);
    const value: unknown = Array.isArray(found) ? found[0] : found;
    return value === undefined || value === null ? undefined : String(value).trim();
  });
}

function read(from: unknown, key: string): unknown {
  if (typeof from !== "object" || from === null) return undefined;
  return attempt((): unknown => Reflect.get(from, key));
}

const classes: ReadonlySet<unknown> = new Set<ErrorClass>([
  "retryable",
  "not-retryable",
  "unreachable",
  "overloaded",
  "not-mine",
]);

/** What a caller's `classify` said, made sure of: what is no verdict counts as "not-retryable", like what is thrown. */
export function checkVerdict(said: unknown): Verdict {
  const name = typeof said === "object" ? read(said, "class") : said;
  if (!isErrorClass(name)) return { class: "not-retryable" };
  const pushbackMs = read(said, "pushbackMs");
  return typeof pushbackMs === "number" && pushbackMs >= 0 && pushbackMs < Number.POSITIVE_INFINITY
    ? { class: name, pushbackMs }
    : { class: name };
}

function isErrorClass(value: unknown): value is ErrorClass {
  return classes.has(value);
}
