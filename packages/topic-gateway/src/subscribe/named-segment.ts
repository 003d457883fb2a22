import { TopicError } from "../errors.js";
import type { MessageIdParts } from "../protocol/message-id.js";
import type { SegmentName } from "../protocol/segment-id.js";
import type { AckParts } from "./ack-token.js";
import type { Assignment } from "./assignment.js";
import { leaseLost } from "./committer.js";
import type { HeldSegment } from "./held-segment.js";

// Which of a consumer's segments an acknowledgement is for.

type Holding = Pick<Assignment, "held" | "ended" | "sessionId">;

/** @throws TopicError "lease-lost", "invalid-ack" */
export function segmentOfAck(
  { held, ended, sessionId }: Holding,
  pastSessions: readonly string[],
  { session, segment, lease, sequence }: AckParts,
): HeldSegment {
  if (session !== sessionId) {
    if (pastSessions.includes(session)) throw leaseLost();
    throw new TopicError("invalid-ack", "the acknowledgement is of a message that another session delivered");
  }
  // Only looked up: what has no such name has no such segment.
  const name = segment as SegmentName;
  const found = held.get(name) ?? ended.get(name);
  if (found?.lease !== lease) throw leaseLost();
  found.checkDelivered(sequence);
  return found;
}

/** @throws TopicError "lease-lost", "invalid-ack" */
export function segmentOfId(
  { held, ended }: Holding,
  pastSessions: readonly string[],
  id: MessageIdParts,
): HeldSegment {
  // Of those that start at the same hash the one that began last before the message; ended ones were held earlier.
  let found: HeldSegment | undefined;
  for (const segment of [...ended.values(), ...held.values()]) {
    const isOf = segment.id.range.from === id.rangeFrom && segment.id.startTime <= id.time;
    if (isOf && (!found || segment.id.startTime >= found.id.startTime)) found = segment;
  }
  if (!found) throw leaseLost();
  if (found.hasDelivered(id)) return found;
  // An id does not say under which lease its message came: it may have been an earlier one.
  if (found.state !== "open" || found.isAgain || pastSessions.length > 0) throw leaseLost();
  throw new TopicError("invalid-ack", "no message with this id was delivered by this consumer");
}
