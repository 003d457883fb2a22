import { TopicError } from "../errors.js";

/** What an acknowledgement names: everything up to a sequence of a segment, as leased once by a session. */
export interface AckParts {
  readonly session: string;
  /** The create revision of the session's lease on the segment. */
  readonly lease: string;
  readonly segment: string;
  readonly sequence: number;
}

/** Opaque to callers; of characters that need no escaping in a URL or in JSON. */
export function formatAck({ session, lease, segment, sequence }: AckParts): string {
  return `${session}.${lease}.${segment}.${sequence}`;
}

const ACK = /^([0-9]{1,20})\.([0-9]{1,20})\.([0-9]{1,19}_[0-9]{1,5}-[0-9]{1,5})\.([1-9][0-9]{0,14})$/;

/** @throws TopicError "invalid-ack" */
export function parseAck(text: string): AckParts {
  const match = typeof text === "string" ? ACK.exec(text) : null;
  if (!match) {
    throw new TopicError(
      "invalid-ack",
      `${JSON.stringify(text)?.slice(0, 64)} is not an acknowledgement: the \`ack\` of a delivered message is allowed`,
    );
  }
  const [, session, lease, segment, sequence] = match as unknown as [string, string, string, string, string];
  return { session, lease, segment, sequence: Number(sequence) };
}
