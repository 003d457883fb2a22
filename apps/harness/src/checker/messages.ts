/** Invariants 1, 2, 5, 7 and 8: what was promised of messages, compared with what the logs hold. */
import { murmur3Mod } from "@x/space";
import { formatMessageId, HASHES, inRange, parseMessageId } from "@x/topic-gateway/protocol";
import type { History, LoggedMessage, Stamp } from "./history.js";
import type { SegmentLife, Timeline } from "./timeline.js";
import type { Violation } from "./violation.js";

export interface Located {
  readonly segment: SegmentLife;
  readonly message: LoggedMessage;
}

/** Every message that the logs hold, by `{topic}/{id}` and in the order of the segments' creation. */
export class Logged {
  readonly byId: Map<string, Located[]> = new Map();
  readonly bySegment: Map<string, readonly LoggedMessage[]> = new Map();
  #byStamp: Map<string, string[]> | undefined;

  constructor(timeline: Timeline, history: History) {
    for (const { topic, segment, messages } of history.contents) {
      this.bySegment.set(`${topic}/${segment}`, messages);
      const life = timeline.segments.get(`${topic}/${segment}`);
      if (!life) continue;
      for (const message of messages) {
        const { time, sequence } = message;
        const id = `${topic}/${formatMessageId({ time, sequence, rangeFrom: life.id.range.from })}`;
        const there = this.byId.get(id);
        if (there) there.push({ segment: life, message });
        else this.byId.set(id, [{ segment: life, message }]);
      }
    }
  }

  /** Where the logs hold what a workload sent, under whatever id. */
  placesOf({ producer, number }: Stamp): readonly string[] {
    if (!this.#byStamp) {
      this.#byStamp = new Map();
      for (const { segment, message } of [...this.byId.values()].flat()) {
        const stamp = JSON.stringify([message.producer, message.number]);
        const places = this.#byStamp.get(stamp) ?? [];
        this.#byStamp.set(stamp, places);
        places.push(`${segment.name}:${message.sequence}`);
      }
    }
    return this.#byStamp.get(JSON.stringify([producer, number])) ?? [];
  }
}

/** Every acknowledged message is at exactly one (segment, sequence) <= lastSeq, unless deleted. */
export function* checkAcknowledged(
  timeline: Timeline,
  logged: Logged,
  history: History,
): Generator<Violation> {
  for (const { topic, segment, messages, damage } of history.contents) {
    if (damage === undefined) continue;
    yield {
      invariant: 1,
      message: `${segment} can't be read behind sequence ${messages.length}: ${damage}`,
      evidence: { topic, segment },
    };
  }
  const seen = new Map<string, unknown>();
  for (const op of history.publishes) {
    if (op.outcome !== "acked" || op.id === undefined) continue;
    const id = `${op.topic}/${op.id}`;
    const other = seen.get(id);
    if (other) {
      yield { invariant: 1, message: `two publishes were given the id ${op.id}`, evidence: { op, other } };
    }
    seen.set(id, op);
    const found = logged.byId.get(id) ?? [];
    if (found.length === 0) {
      if (mayBeDeleted(timeline, op.topic, op.id)) continue;
      const elsewhere = logged.placesOf(op);
      yield {
        invariant: 1,
        message: `an acknowledged message is lost: ${op.producer}:${op.number}, ${op.id}`,
        evidence: { op, elsewhere },
      };
    } else if (found.length > 1) {
      yield { invariant: 1, message: `the message ${op.id} is in ${found.length} places`, evidence: found };
    } else {
      const { message } = found[0] as Located;
      if (message.producer !== op.producer || message.number !== op.number || message.key !== op.key) {
        yield {
          invariant: 1,
          message: `at the place of the acknowledged message ${op.id} is another one`,
          evidence: { op, message },
        };
      }
    }
  }
}

function mayBeDeleted(timeline: Timeline, topic: string, id: string): boolean {
  const { time, rangeFrom } = parseMessageId(id);
  return timeline
    .segmentsOf(topic)
    .some(
      ({ isDeleted, id: { range, startTime }, seal }) =>
        isDeleted && range.from === rangeFrom && startTime <= time && (seal?.end.lastTime ?? time) >= time,
    );
}

/** Every delivery is at or below its segment's recorded lastSeq, and is what the log holds there. */
export function* checkDelivered(timeline: Timeline, logged: Logged, history: History): Generator<Violation> {
  for (const delivery of history.deliveries) {
    const { topic, segment: name, sequence } = delivery;
    const segment = timeline.segments.get(`${topic}/${name}`);
    if (!segment) {
      yield {
        invariant: 2,
        message: `a message of ${name} was delivered, which was never recorded`,
        evidence: delivery,
      };
      continue;
    }
    if (segment.seal && sequence > segment.seal.end.lastSequence) {
      yield {
        invariant: 2,
        message: `${name}:${sequence} was delivered, but the segment ends at ${segment.seal.end.lastSequence}`,
        evidence: delivery,
      };
      continue;
    }
    const messages = logged.bySegment.get(`${topic}/${name}`);
    if (!messages) continue;
    // Dense from 1, or invariant 6 says so.
    const message = messages[sequence - 1];
    const rangeFrom = segment.id.range.from;
    const isSame =
      message !== undefined &&
      message.producer === delivery.producer &&
      message.number === delivery.number &&
      message.key === delivery.key &&
      formatMessageId({ time: message.time, sequence, rangeFrom }) === delivery.id;
    if (!isSame) {
      yield {
        invariant: 2,
        message: `${name}:${sequence} was delivered, but the log holds ${message ? "another message" : "nothing"} there`,
        evidence: { delivery, message },
      };
    }
  }
}

/** Nothing invoked after the seal is acknowledged there. */
export function* checkFence(logged: Logged, history: History): Generator<Violation> {
  for (const op of history.publishes) {
    const found = op.id === undefined ? undefined : logged.byId.get(`${op.topic}/${op.id}`)?.[0];
    const seal = found?.segment.seal;
    // Seen, so it happened before; and the message was sent later.
    if (!seal || op.invokedMs <= seal.timeMs) continue;
    yield {
      invariant: 5,
      message: `${op.producer}:${op.number} was sent at ${op.invokedMs} and acknowledged in ${found.segment.name}, which was seen sealed at ${seal.timeMs}`,
      evidence: { op, seal },
    };
  }
}

/**
 * Per producer and key, log order is send order. A producer without ids that sends again after a failover may leave messages
 * a second time, later: only the first occurrence of each counts.
 */
export function* checkOrder(timeline: Timeline, history: History): Generator<Violation> {
  const topics = new Set(history.contents.map(({ topic }) => topic));
  const contents = new Map(history.contents.map((one) => [`${one.topic}/${one.segment}`, one.messages]));
  for (const topic of topics) {
    const highest = new Map<string, { number: number; at: string; readonly seen: Set<number> }>();
    // The segments that hold a key follow each other without overlap (invariant 3), in the order of their creation.
    for (const segment of timeline.segmentsOf(topic)) {
      for (const message of contents.get(`${topic}/${segment.name}`) ?? []) {
        const { producer, key, number, sequence } = message;
        const at = `${segment.name}:${sequence}`;
        if (!inRange(murmur3Mod(key, HASHES - 1), segment.id.range)) {
          yield {
            invariant: 7,
            message: `${at} has the key ${JSON.stringify(key)}, which is not of its range`,
            evidence: message,
          };
        }
        const id = JSON.stringify([producer, key]);
        const before = highest.get(id);
        if (!before) {
          highest.set(id, { number, at, seen: new Set([number]) });
          continue;
        }
        if (before.seen.has(number)) continue;
        before.seen.add(number);
        if (number > before.number) {
          before.number = number;
          before.at = at;
          continue;
        }
        yield {
          invariant: 7,
          message: `${producer} sent ${number} before ${before.number} with the key ${JSON.stringify(key)}, but it first appears at ${at}, behind ${before.at}`,
          evidence: { message, before: { number: before.number, at: before.at } },
        };
      }
    }
  }
}

/** (producer, sequence) occurs once. Only messages with ids of producers promise it. */
export function* checkDuplicates(history: History): Generator<Violation> {
  const seen = new Map<string, string>();
  for (const { topic, segment, messages } of history.contents) {
    for (const { dedup, sequence } of messages) {
      if (!dedup) continue;
      const id = `${topic}/${dedup.id}/${dedup.sequence}`;
      const at = `${segment}:${sequence}`;
      const other = seen.get(id);
      if (other !== undefined) {
        yield {
          invariant: 8,
          message: `the sequence ${dedup.sequence} of the producer ${dedup.id} is at ${other} and at ${at}`,
          evidence: { topic, one: other, other: at },
        };
      }
      seen.set(id, at);
    }
  }
}
