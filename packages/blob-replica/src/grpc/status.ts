/** Between BlobErrors and gRPC statuses. The code itself travels in the trailer `x-blob-error`. */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { BlobError, type BlobErrorCode } from "../errors.js";
import type { Failure } from "../gen/x/blobs/v1/blobs.js";

/** NOT_FOUND, UNIMPLEMENTED and FAILED_PRECONDITION are those that clients of bobg/bs v0.4.0 know. */
const statuses: Readonly<Record<BlobErrorCode, status>> = {
  "invalid-argument": status.INVALID_ARGUMENT,
  "invalid-ref": status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  corrupt: status.DATA_LOSS,
  unavailable: status.UNAVAILABLE,
  refused: status.PERMISSION_DENIED,
  full: status.RESOURCE_EXHAUSTED,
  "queue-full": status.RESOURCE_EXHAUSTED,
  unordered: status.DATA_LOSS,
  unsupported: status.UNIMPLEMENTED,
  conflict: status.FAILED_PRECONDITION,
  "all-failed": status.UNAVAILABLE,
  "failed-strict": status.UNAVAILABLE,
  "bad-data": status.DATA_LOSS,
  closed: status.UNAVAILABLE,
};

/** What a server without the trailer means, bobg/bs's among them. Anything else is "unavailable". */
const codes: ReadonlyMap<status, BlobErrorCode> = new Map<status, BlobErrorCode>([
  [status.INVALID_ARGUMENT, "invalid-argument"],
  [status.NOT_FOUND, "not-found"],
  [status.DATA_LOSS, "corrupt"],
  [status.PERMISSION_DENIED, "refused"],
  [status.UNAUTHENTICATED, "refused"],
  [status.RESOURCE_EXHAUSTED, "full"],
  [status.UNIMPLEMENTED, "unsupported"],
  [status.FAILED_PRECONDITION, "conflict"],
]);

const trailer = "x-blob-error";
/** Trailers have little room. */
const longestMessage = 1000;

/** What one of many failed with, or a whole call. What is not ours is told without its insides. */
export function describeFailure(error: unknown): {
  readonly code: BlobErrorCode | "internal";
  readonly message: string;
  readonly moreThanBytes: bigint | undefined;
} {
  if (!(error instanceof BlobError)) {
    return {
      code: "internal",
      message: "an internal error of the server, see its log",
      moreThanBytes: undefined,
    };
  }
  // A server whose store was closed goes away; the caller's own store is another, and open.
  const code = error.code === "closed" ? "unavailable" : error.code;
  const { message, moreThanBytes } = error;
  return {
    code,
    message: message.slice(0, longestMessage),
    moreThanBytes: isCount(moreThanBytes) ? BigInt(moreThanBytes) : undefined,
  };
}

/** A store that is not ours may say anything. */
function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}

/** What a gRPC handler fails with. */
export function toServiceError(error: unknown): { code: status; details: string; metadata: Metadata } {
  const { code, message } = describeFailure(error);
  const metadata = new Metadata();
  if (code === "internal") return { code: status.INTERNAL, details: message, metadata };
  metadata.set(trailer, code);
  return { code: statuses[code], details: message, metadata };
}

/** What one of many failed with, as it was told. */
export function fromFailure({ code, message, moreThanBytes }: Failure, cause?: unknown): BlobError {
  const known = Object.hasOwn(statuses, code) ? (code as BlobErrorCode) : "unavailable"; // it is a key
  const more = moreThanBytes === undefined ? undefined : Number(moreThanBytes);
  return new BlobError(known, message, { cause, ...(more !== undefined && { moreThanBytes: more }) });
}

/** What a gRPC client's call failed with, as ours. */
export function fromServiceError(error: unknown): BlobError {
  if (error instanceof BlobError) return error;
  const { code, details, message } = error as Partial<ServiceError>; // what grpc-js throws; all members are checked
  const text = details || message || String(error);
  const told = toldCode(error);
  if (told !== undefined) return fromFailure({ code: told, message: text }, error);
  // Not the disk of the server: a limit that the blob as one message is above, on either side.
  const tooLarge = code === status.RESOURCE_EXHAUSTED && /larger than max|message too large/i.test(text);
  const mapped = tooLarge ? "refused" : code === undefined ? undefined : codes.get(code);
  return new BlobError(mapped ?? "unavailable", text, { cause: error });
}

/** Whether the server does not know the method, or the service. A store that says "unsupported" knows it. */
export function lacksMethod(error: unknown): boolean {
  const cause = error instanceof BlobError ? error.cause : error;
  if (typeof cause !== "object" || cause === null || !("code" in cause)) return false;
  return cause.code === status.UNIMPLEMENTED && toldCode(cause) === undefined;
}

function toldCode(error: unknown): string | undefined {
  const { metadata } = error as Partial<ServiceError>; // or anything else: checked
  const told = metadata instanceof Metadata ? metadata.get(trailer)[0] : undefined;
  return typeof told === "string" ? told : undefined;
}
