import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import type { MessageIdParts } from "../protocol/message-id.js";
import { parseConsumerName, parseSubscriptionName, parseTopicName } from "../protocol/names.js";
import type { Message } from "./message.js";
import { SessionConsumer } from "./session-consumer.js";

export type { Message } from "./message.js";

export interface ConsumerOptions {
  /** A name for people to see. Two consumers of the same name are two consumers. */
  readonly consumer: string;
  /** How long segments stay with a consumer that died. Default: 10,000. */
  readonly sessionTtlMs?: number;
  /** What is read ahead of each segment, about. Default: 512 KiB. */
  readonly prefetchBytes?: number;
  /** A consumer that neither pulls nor acknowledges for so long loses its segments until it pulls again. Default: 30,000. */
  readonly ackDeadlineMs?: number;
  /** How long a segment that moves to another consumer waits for what was delivered to be acknowledged. Default: 2,000. */
  readonly drainMs?: number;
  /** The least time from commit to commit of one segment while acknowledgements keep coming. Default: 100. */
  readonly commitIntervalMs?: number;
}

export interface PullOptions {
  readonly maxMessages: number;
  /** Takes no more messages once their keys, headers and data have so many bytes; the first one always fits. Default: no limit. */
  readonly maxBytes?: number;
  /** How long to wait for a first message. Infinity is allowed. */
  readonly waitMs: number;
  readonly signal?: AbortSignal;
}

export interface HeldSegmentStatus {
  readonly segment: string;
  readonly delivered: number;
  readonly committed: number;
}

/**
 * One consumer of a subscription. The topic's segments are shared among the subscription's consumers; each is read by one at a time.
 *
 * Messages of one key come in order, and each at least once: what was delivered and not committed comes again, to whoever gets the
 * segment next, from the first one that was not committed. Iterating is pulling one message at a time, for ever; leaving the
 * loop leaves the consumer as it is, `close` ends the loop.
 */
export interface Consumer extends AsyncIterable<Message>, AsyncDisposable {
  /** The id of the session that holds its segments at present. Another one after a session was lost. */
  readonly session: string;
  /**
   * Up to `maxMessages`, as soon as there is one; [] when none came in time, or the consumer was closed while waiting.
   * @throws TopicError "invalid-argument", "closed", "topic-not-found", "subscription-not-found", signal.reason
   */
  pull(options: PullOptions): Promise<Message[]>;
  /**
   * Acknowledges a message and everything before it in its segment. Resolves when that is durable; the promise may be ignored.
   * @throws TopicError "lease-lost" (it will be delivered again), "invalid-ack", "closed"
   */
  acknowledge(ack: string): Promise<void>;
  /**
   * Acknowledges many, which then share transactions. When one of them is no acknowledgement of a message that was delivered here
   * ("invalid-ack"), none is. One whose segment is not held any more ("lease-lost") stops no other.
   * @throws as `acknowledge`, when all that could be done is durable
   */
  acknowledgeAll(acks: readonly string[]): Promise<void>;
  /** As `acknowledge`, for a message of a segment that this consumer holds now. */
  acknowledgeId(id: MessageIdParts): Promise<void>;
  /** What it holds now. */
  segments(): HeldSegmentStatus[];
  /** Commits what is acknowledged and gives the segments back. Does not fail. */
  close(): Promise<void>;
}

/**
 * Joins a subscription as a consumer.
 *
 * @throws TopicError "invalid-topic-name", "invalid-subscription-name", "invalid-consumer-name", "invalid-argument",
 * "topic-not-found", "subscription-not-found"; CoordError when the store does not answer
 */
export async function openConsumer(
  context: ClientContext,
  topic: string,
  subscription: string,
  options: ConsumerOptions & {
    readonly signal?: AbortSignal;
    /** The consumer is in it from when it is open until nothing of it runs any more, whoever ended it. */
    readonly among?: Set<Consumer>;
  },
): Promise<Consumer> {
  const settings = {
    topic: parseTopicName(topic),
    subscription: parseSubscriptionName(subscription),
    consumer: parseConsumerName(options.consumer),
    sessionTtlMs: positive("sessionTtlMs", options.sessionTtlMs ?? 10_000),
    prefetchBytes: positive("prefetchBytes", options.prefetchBytes ?? 512 * 1024),
    ackDeadlineMs: positive("ackDeadlineMs", options.ackDeadlineMs ?? 30_000),
    drainMs: notNegative("drainMs", options.drainMs ?? 2_000),
    commitIntervalMs: notNegative("commitIntervalMs", options.commitIntervalMs ?? 100),
    among: options.among,
  };
  return await SessionConsumer.open(context, settings, options.signal);
}

/** @throws TopicError "invalid-argument" */
function positive(name: string, value: number): number {
  if (typeof value === "number" && value > 0) return value;
  throw new TopicError("invalid-argument", `${name} must be a number above 0, not ${String(value)}`);
}

/** @throws TopicError "invalid-argument" */
function notNegative(name: string, value: number): number {
  if (typeof value === "number" && value >= 0) return value;
  throw new TopicError("invalid-argument", `${name} must be a number of at least 0, not ${String(value)}`);
}
