import { JournalError } from "../errors.js";

/** Runs a decoder; whatever it throws is the fault of who sent the bytes. @throws JournalError "invalid-response" */
export function malformed<T>(message: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new JournalError("invalid-response", `The bytes of a ${message} are not well-formed: ${reason}.`, {
      cause,
    });
  }
}
