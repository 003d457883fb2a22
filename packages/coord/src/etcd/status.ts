import { CoordError } from "../errors.js";
import { GRPC } from "./wire.js";

/** What is left of a failed call: gRPC's code, if the call got that far, and etcd's words. */
export interface Failure {
  readonly code: number | undefined;
  readonly details: string;
}

/** Reads it off a gRPC error (streams give them as they are) or off etcd3's errors, which lose the code. */
export function failureOf(error: unknown): Failure {
  const { code, details, message } = error as { code?: unknown; details?: unknown; message?: unknown };
  return {
    code: typeof code === "number" ? code : undefined,
    details: typeof details === "string" ? details : typeof message === "string" ? message : String(error),
  };
}

/**
 * One place that knows etcd's error texts. They are part of its API: its own client tells errors apart by them
 * (api/v3rpc/rpctypes in etcd's source).
 */
export function coordError(what: string, failure: Failure, cause: unknown): CoordError {
  if (cause instanceof CoordError) return cause;
  const { code, details } = failure;
  const message = `etcd could not ${what}: ${details}`;
  if (details.includes("requested lease not found"))
    return new CoordError("lease-not-found", message, { cause });
  // A token from before a change of the permissions, which the next call replaces. gRPC's code says that it is the
  // caller's fault.
  if (details.includes("revision of auth store is old"))
    return new CoordError("unavailable", message, { cause });
  if (isCompacted(failure)) return new CoordError("compacted", message, { cause });
  if (
    isFutureRevision(failure) ||
    code === GRPC.invalidArgument ||
    // Waiting does not help against these either, and a watch would be tried again for ever.
    code === GRPC.permissionDenied ||
    /etcdserver: (permission denied|authentication failed|user name is empty|too large lease TTL)/.test(
      details,
    ) ||
    // The server's words for a request that it did not take. Ours for its answer, which have a capital, are another
    // matter.
    details.includes("grpc: received message larger than max")
  ) {
    return new CoordError("invalid-argument", message, { cause });
  }
  return new CoordError("unavailable", message, { cause });
}

export function isCompacted(failure: Failure): boolean {
  return failure.details.includes("required revision has been compacted");
}

export function isFutureRevision(failure: Failure): boolean {
  return failure.details.includes("required revision is a future revision");
}
