import type { Space } from "@x/space";
import type { Failure } from "./delivery.js";
import { messageOf } from "./describe.js";
import { FanoutError, type PointFailure } from "./errors.js";
import { failureMessage, formatPoint } from "./failure-message.js";

// What a call rejects with when points of it were not satisfied.

interface FailedCall {
  readonly code: "uncovered" | "failed" | "deadline";
  readonly failures: readonly PointFailure<unknown, unknown>[];
  /** What the last reading of the views failed with, when that is why points are in no view. */
  readonly viewsError?: unknown;
}

export function failedCall(space: Space<unknown>, { code, failures, viewsError }: FailedCall): FanoutError {
  const why = viewsError === undefined ? "" : ` The views could not be read again: ${messageOf(viewsError)}`;
  const cause = viewsError ?? failures[0]?.causes[0]?.error;
  return new FanoutError(code, `${failureMessage(space, failures)}${why}`, { cause, failures });
}

/** The views could not be read even once, because that failed or took too long. */
export function unsentCall(
  space: Space<unknown>,
  { code, failures }: FailedCall,
  failed: Failure | undefined,
): FanoutError {
  if (failed === undefined) return failedCall(space, { code, failures });
  const point = formatPoint(space, failures[0]?.point);
  const message = `The views could not be read: ${messageOf(failed.error)}. So no view is known for the point ${point} and the others of the call.`;
  return new FanoutError(code, message, { failures, cause: failed.error });
}
