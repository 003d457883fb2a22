import { JournalError } from "../errors.js";

/** The node of a UUID, who made the message: 12 lower-case hex digits. */
export type ProducerId = string & { readonly __brand: "ProducerId" };

/** @throws JournalError "invalid-argument" */
export function producerId(text: string): ProducerId {
  if (!/^[0-9a-f]{12}$/.test(text)) {
    throw new JournalError(
      "invalid-argument",
      `a producer is 12 lower-case hex digits, not ${JSON.stringify(text)}`,
    );
  }
  return text as ProducerId; // checked
}

/**
 * What is known of a producer in a journal between two messages. With the journal's offset it is what a consumer keeps to go on exactly
 * where it was.
 */
export interface ProducerState {
  readonly journal: string;
  readonly producer: ProducerId;
  /** The clock of its last ACK_TXN or OUTSIDE_TXN message. */
  readonly lastAck: bigint;
  /** Where its first CONTINUE_TXN message with a larger clock begins; -1n when there is none. */
  readonly begin: bigint;
}
