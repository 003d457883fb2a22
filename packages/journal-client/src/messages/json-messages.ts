import { JournalError } from "../errors.js";
import { show } from "../protocol/refusal.js";
import type { MessageType } from "./message.js";
import { formatUuid, uuidBytes } from "./uuid.js";

/**
 * Plain objects that hold their UUID as text, in a field of this name; those without it have none. A journal may hold any JSON: `getUuid`
 * throws JournalError "bad-message" for what is no object, and for a field that is no UUID.
 */
export function jsonMessages<M extends object>(uuidField: keyof M & string): MessageType<M> {
  return {
    getUuid(message) {
      // Also numbers, texts and null are JSON, and the framing cannot know that they are none of the reader's type.
      const json: unknown = message;
      if (typeof json !== "object" || json === null) {
        throw new JournalError("bad-message", `a message has to be a JSON object, not ${show(json)}`);
      }
      const text: unknown = message[uuidField];
      if (text === undefined || text === null) return undefined;
      if (typeof text !== "string") {
        throw new JournalError("bad-message", `the UUID in ${JSON.stringify(uuidField)} is not text`);
      }
      try {
        return uuidBytes(text);
      } catch (cause) {
        throw new JournalError(
          "bad-message",
          `the UUID in ${JSON.stringify(uuidField)} is none: ${show(text)}`,
          {
            cause,
          },
        );
      }
    },
    setUuid(message, uuid) {
      Object.assign(message, { [uuidField]: formatUuid(uuid) });
    },
    // It has a UUID and nothing else: the reader's own types do not hold for it, and it is not given out.
    newAcknowledgement: () => ({}) as M,
  };
}
