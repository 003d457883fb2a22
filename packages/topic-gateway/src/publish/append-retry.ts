import { TopicError } from "../errors.js";

export interface AppendRetry {
  /** How often a message is sent at most: a whole number from 1, or Infinity. Default 100. */
  readonly maxAttempts?: number;
  /** How long a message may take in all, also while its range has no owner: a number above 0, or Infinity. Default 30,000. */
  readonly deadlineMs?: number;
}

/** With the defaults. @throws TopicError "invalid-argument" */
export function parseAppendRetry(retry: AppendRetry = {}): Required<AppendRetry> {
  if (typeof retry !== "object" || retry === null) {
    throw new TopicError("invalid-argument", `appendRetry must be an object, not ${String(retry)}`);
  }
  const { maxAttempts = 100, deadlineMs = 30_000 } = retry;
  const isWhole = Number.isInteger(maxAttempts) || maxAttempts === Number.POSITIVE_INFINITY;
  if (!isWhole || maxAttempts < 1) {
    throw new TopicError(
      "invalid-argument",
      `appendRetry.maxAttempts must be a whole number from 1 or Infinity, not ${String(maxAttempts)}`,
    );
  }
  if (typeof deadlineMs !== "number" || !(deadlineMs > 0)) {
    throw new TopicError(
      "invalid-argument",
      `appendRetry.deadlineMs must be a number above 0, not ${String(deadlineMs)}`,
    );
  }
  return { maxAttempts, deadlineMs };
}
