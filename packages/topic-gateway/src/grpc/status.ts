/** Between TopicErrors and gRPC statuses. The code itself travels in the trailer `x-error-code`. */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { TopicError, type TopicErrorCode } from "../errors.js";

const STATUS: Readonly<Record<TopicErrorCode, status>> = {
  "invalid-topic-name": status.INVALID_ARGUMENT,
  "invalid-subscription-name": status.INVALID_ARGUMENT,
  "invalid-consumer-name": status.INVALID_ARGUMENT,
  "invalid-key": status.INVALID_ARGUMENT,
  "invalid-range-size": status.INVALID_ARGUMENT,
  "invalid-hash-range": status.INVALID_ARGUMENT,
  "invalid-id": status.INVALID_ARGUMENT,
  "invalid-ack": status.INVALID_ARGUMENT,
  "invalid-argument": status.INVALID_ARGUMENT,
  "message-too-large": status.INVALID_ARGUMENT,
  "topic-not-found": status.NOT_FOUND,
  "topic-exists": status.ALREADY_EXISTS,
  "subscription-not-found": status.NOT_FOUND,
  "subscription-exists": status.ALREADY_EXISTS,
  "message-not-found": status.NOT_FOUND,
  "not-owner": status.FAILED_PRECONDITION,
  unavailable: status.UNAVAILABLE,
  overloaded: status.RESOURCE_EXHAUSTED,
  "lease-lost": status.ABORTED,
  "log-exists": status.INTERNAL,
  "log-missing": status.DATA_LOSS,
  "log-sealed": status.FAILED_PRECONDITION,
  "log-failed": status.UNAVAILABLE,
  corrupt: status.DATA_LOSS,
  closed: status.UNAVAILABLE,
};

const ERROR_CODE = "x-error-code";

/** The status that an error is told with. */
export function statusOf(error: unknown): status {
  return toServiceError(error).code;
}

/** What a gRPC handler fails with. Errors that are not ours are told without their insides. */
export function toServiceError(error: unknown): { code: status; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  if (!(error instanceof TopicError)) {
    const unavailable = (error as { code?: unknown } | undefined)?.code === "unavailable";
    return unavailable
      ? { code: status.UNAVAILABLE, details: "the coordination store is not reachable now", metadata }
      : { code: status.INTERNAL, details: "an internal error, see the server's log", metadata };
  }
  metadata.set(ERROR_CODE, error.code);
  return { code: STATUS[error.code], details: error.message, metadata };
}

/** What a gRPC client's call failed with, as ours. */
export function fromServiceError(error: unknown): TopicError {
  if (error instanceof TopicError) return error;
  const { code, details, metadata, message } = error as Partial<ServiceError>;
  const told = metadata?.get(ERROR_CODE)[0];
  const text = details || message || String(error);
  if (typeof told === "string" && told in STATUS)
    return new TopicError(told as TopicErrorCode, text, { cause: error });
  switch (code) {
    case status.INVALID_ARGUMENT:
    case status.UNIMPLEMENTED:
      return new TopicError("invalid-argument", text, { cause: error });
    case status.NOT_FOUND:
      return new TopicError("message-not-found", text, { cause: error });
    case status.RESOURCE_EXHAUSTED:
      return new TopicError("overloaded", text, { cause: error });
    default:
      return new TopicError("unavailable", text, { cause: error });
  }
}
