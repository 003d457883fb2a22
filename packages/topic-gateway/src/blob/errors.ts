import { BlobError } from "@x/blob-replica";
import { TopicError, type TopicErrorCode } from "../errors.js";

/** TopicErrors and the reason of an abort stay what they are; what a blob store says becomes the cause of one. */
export function asTopicError(
  error: unknown,
  doing: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): unknown {
  if (error instanceof TopicError || (options.signal?.aborted && error === options.signal.reason))
    return error;
  const why = error instanceof Error ? error.message : String(error);
  return new TopicError(codeOf(error), `${doing} failed: ${why}`, { cause: error });
}

function codeOf(error: unknown): TopicErrorCode {
  if (!(error instanceof BlobError)) return "unavailable";
  if (isLost(error)) return "corrupt";
  switch (error.code) {
    case "bad-data":
      return "corrupt";
    case "closed":
      return "closed";
    case "unsupported":
    case "invalid-argument":
      return "invalid-argument";
    default:
      return "unavailable";
  }
}

/** Whether no store has the blob, or only damaged ones: what has been stored is gone, and asking again does not help. */
export function isLost(error: unknown): boolean {
  if (!(error instanceof BlobError)) return false;
  if (error.code === "not-found" || error.code === "corrupt") return true;
  return (
    error.code === "all-failed" &&
    error.failures.length > 0 &&
    error.failures.every((failure) => isLost(failure.error))
  );
}
