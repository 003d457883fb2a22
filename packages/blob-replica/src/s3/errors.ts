import { BlobError, type BlobErrorCode } from "../errors.js";

/** What the SDK and servers throw: all of it is looked at before it is believed. */
interface Thrown {
  readonly name?: unknown;
  readonly Code?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown };
}

const byName: Readonly<Record<string, BlobErrorCode>> = {
  NoSuchKey: "not-found",
  NotFound: "not-found", // the answer to a HEAD has no body that says more
  NoSuchBucket: "unavailable",
  BadDigest: "corrupt",
  XAmzContentSHA256Mismatch: "corrupt",
  XAmzContentChecksumMismatch: "corrupt",
  EntityTooLarge: "refused",
  QuotaExceeded: "full",
  XMinioStorageFull: "full",
  CredentialsProviderError: "refused",
};

/** The error of a request, as ours. */
export function s3Error(error: unknown, what: string): BlobError {
  if (error instanceof BlobError) return error;
  const status = statusOf(error);
  const name = nameOf(error);
  const { message } = error as Thrown; // of anything
  const named = Object.hasOwn(byName, name) ? byName[name] : mismatch(message);
  const told = [name, status, message].filter((part) => part !== undefined && part !== "").join(" ");
  return new BlobError(named ?? codeOfStatus(status), `${what}: ${told.slice(0, 500)}`, { cause: error });
}

/** A body that is not what its checksum says: the SDK notices it first, and throws an Error with neither name nor code of its own. */
function mismatch(message: unknown): BlobErrorCode | undefined {
  return typeof message === "string" && message.startsWith("Checksum mismatch") ? "corrupt" : undefined;
}

function codeOfStatus(status: number | undefined): BlobErrorCode {
  switch (status) {
    case 401:
    case 403:
    case 405: // a write to what is read-only
      return "refused";
    case 404:
      return "not-found";
    case 507:
      return "full";
    default:
      return "unavailable";
  }
}

export function statusOf(error: unknown): number | undefined {
  const status = (error as Thrown | undefined)?.$metadata?.httpStatusCode;
  return typeof status === "number" ? status : undefined;
}

export function nameOf(error: unknown): string {
  const { Code: code, name } = (error ?? {}) as Thrown;
  if (typeof code === "string" && code !== "") return code;
  return typeof name === "string" ? name : "";
}
