/** From TopicErrors to gRPC statuses. The code itself travels in the trailer `x-error-code`, from which our client makes it again. */
import { Metadata, status } from "@grpc/grpc-js";
import { TopicError, type TopicErrorCode } from "@x/topic-gateway/protocol";

/** The others are wrong requests. */
const STATUS: Partial<Record<TopicErrorCode, status>> = {
  "topic-not-found": status.NOT_FOUND,
  "subscription-not-found": status.NOT_FOUND,
  "message-not-found": status.NOT_FOUND,
  "topic-exists": status.ALREADY_EXISTS,
  "subscription-exists": status.ALREADY_EXISTS,
  "not-owner": status.FAILED_PRECONDITION,
  "log-sealed": status.FAILED_PRECONDITION,
  unavailable: status.UNAVAILABLE,
  closed: status.UNAVAILABLE,
  "log-failed": status.UNAVAILABLE,
  overloaded: status.RESOURCE_EXHAUSTED,
  "lease-lost": status.ABORTED,
  "log-exists": status.INTERNAL,
  "log-missing": status.DATA_LOSS,
  corrupt: status.DATA_LOSS,
};

export function statusOf(error: unknown): status {
  return error instanceof TopicError ? (STATUS[error.code] ?? status.INVALID_ARGUMENT) : status.INTERNAL;
}

/** What a handler fails with. Errors that are not ours are told without their insides. */
export function toServiceError(error: unknown): { code: status; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  const ours = error instanceof TopicError;
  if (ours) metadata.set("x-error-code", error.code);
  return {
    code: statusOf(error),
    details: ours ? error.message : "an internal error of the buffer",
    metadata,
  };
}
