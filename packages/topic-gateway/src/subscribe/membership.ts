import type { Session } from "@x/coord";
import { TopicError } from "../errors.js";
import { consumerKey, rangeSizeKey, subscriptionKey } from "../protocol/keys.js";
import {
  type ConsumerName,
  parseConsumerName,
  type SubscriptionName,
  type TopicName,
} from "../protocol/names.js";
import { type LeasePort, repeat } from "./lease-txns.js";

export interface MembershipOptions {
  readonly topic: TopicName;
  readonly subscription: SubscriptionName;
  readonly consumer: ConsumerName;
  readonly session: Session;
}

/** Whether a session is among its subscription's consumers, as the others see it. */
export class Membership {
  readonly #port: LeasePort;
  readonly #options: MembershipOptions;
  readonly #key: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(port: LeasePort, options: MembershipOptions) {
    const { topic, subscription, session } = options;
    this.#port = port;
    this.#options = options;
    this.#key = consumerKey(topic, subscription, parseConsumerName(String(session.leaseId)));
  }

  /** Resolves with the revision that has it. @throws TopicError "topic-not-found", "subscription-not-found" */
  enter(): Promise<bigint> {
    return this.#inTurn(async () => {
      const { topic, subscription, consumer, session } = this.#options;
      const topicKey = rangeSizeKey(topic);
      const result = await repeat(this.#port, {
        compare: [
          { key: topicKey, target: "create", op: "!=", value: 0n },
          { key: subscriptionKey(topic, subscription), target: "create", op: "!=", value: 0n },
        ],
        then: [{ type: "put", key: this.#key, value: consumer, lease: session.leaseId }],
        else: [{ type: "get", key: topicKey }],
      });
      if (result.succeeded) return result.revision;
      const [found] = result.results;
      throw found?.type === "get" && found.kvs.length > 0
        ? noSubscription(topic, subscription)
        : noTopic(topic);
    });
  }

  leave(): Promise<bigint> {
    return this.#inTurn(async () => {
      const txn = { compare: [], then: [{ type: "delete", key: this.#key } as const], else: [] };
      return (await repeat(this.#port, txn)).revision;
    });
  }

  /** One after the other, so that the last word counts. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => {});
    return done;
  }
}

export function noTopic(topic: TopicName): TopicError {
  return new TopicError("topic-not-found", `there is no topic "${topic}"`);
}

export function noSubscription(topic: TopicName, subscription: SubscriptionName): TopicError {
  return new TopicError(
    "subscription-not-found",
    `the topic "${topic}" has no subscription "${subscription}"`,
  );
}
