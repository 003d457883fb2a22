import { argument, checkInt64, MAX_INT64, refuse } from "../protocol/refusal.js";

/** To which offset a `seek` goes: counted from the journal's beginning, or from where the reader is. */
export type Whence = "start" | "current";

/** The offset that is meant, which may be below 0. @throws JournalError "invalid-argument" */
export function seekTarget(from: bigint, offset: bigint, whence: Whence): bigint {
  checkInt64(argument("offset"), offset, -MAX_INT64);
  if (whence !== "start" && whence !== "current") {
    refuse(argument("whence"), whence, 'it must be "start" or "current"');
  }
  return whence === "current" ? from + offset : offset;
}
