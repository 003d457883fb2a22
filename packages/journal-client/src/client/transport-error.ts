import { type StatusObject, status } from "@grpc/grpc-js";
import { JournalError } from "../errors.js";

/** How a call ended. */
export interface CallEnd extends Pick<StatusObject, "code" | "details"> {
  /** No part of it was sent. */
  readonly nothingSent?: boolean;
}

/** The failure of a call, with the broker it went to. `path` is the method's. */
export function transportError(
  { code, details, nothingSent = false }: CallEnd,
  about: { readonly path: string; readonly endpoint: string; readonly journal?: string | undefined },
): JournalError {
  const { path, endpoint, journal } = about;
  const method = path.slice(path.lastIndexOf("/") + 1);
  const subject = journal === undefined ? "" : ` of ${journal}`;
  const name = status[code] ?? "an unknown code";
  return new JournalError(
    "transport",
    `${method}${subject} at ${endpoint} failed: ${name} (${code}): ${details}`,
    {
      grpcCode: code,
      nothingSent,
      ...(journal === undefined ? {} : { journal }),
    },
  );
}
