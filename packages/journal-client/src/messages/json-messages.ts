import { JournalError } from "../errors.js";
import type { MessageType } from "./message.js";
import { formatUuid, uuidBytes } from "./uuid.js";

/** Plain objects that hold their UUID as text, in a field of this name; those without it have none. */
export function jsonMessages<M extends object>(uuidField: keyof M & string): MessageType<M> {
  return {
    getUuid(message) {
      const text: unknown = message[uuidField];
      if (text === undefined || text === null) return undefined;
      if (typeof text !== "string") {
        throw new JournalError("bad-message", `the UUID in ${JSON.stringify(uuidField)} is not text`);
      }
      return uuidBytes(text);
    },
    setUuid(message, uuid) {
      Object.assign(message, { [uuidField]: formatUuid(uuid) });
    },
    // It has a UUID and nothing else: the reader's own types do not hold for it, and it is not given out.
    newAcknowledgement: () => ({}) as M,
  };
}
