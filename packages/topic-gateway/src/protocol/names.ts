import { TopicError, type TopicErrorCode } from "../errors.js";

export type TopicName = string & { readonly __brand: "TopicName" };
export type SubscriptionName = string & { readonly __brand: "SubscriptionName" };
export type ConsumerName = string & { readonly __brand: "ConsumerName" };

export const MAX_NAME_LENGTH = 128;
export const MAX_KEY_BYTES = 128;

const NAME = /^[A-Za-z0-9_]{1,128}$/;
const CONSUMER = /^[A-Za-z0-9_.:-]{1,128}$/;

/** @throws TopicError "invalid-topic-name" */
export function parseTopicName(text: string): TopicName {
  return checked(text, NAME, "invalid-topic-name", "a topic name") as TopicName;
}

/** @throws TopicError "invalid-subscription-name" */
export function parseSubscriptionName(text: string): SubscriptionName {
  return checked(text, NAME, "invalid-subscription-name", "a subscription name") as SubscriptionName;
}

/** @throws TopicError "invalid-consumer-name" */
export function parseConsumerName(text: string): ConsumerName {
  if (typeof text === "string" && CONSUMER.test(text)) return text as ConsumerName;
  throw new TopicError(
    "invalid-consumer-name",
    `${quote(text)} is not a consumer name: 1 to ${MAX_NAME_LENGTH} letters, digits, "_", "-", "." or ":" are allowed`,
  );
}

/** Gives the key back. @throws TopicError "invalid-key" */
export function checkKey(key: string): string {
  if (typeof key !== "string") throw new TopicError("invalid-key", `a key must be text, not ${typeof key}`);
  // UTF-8 never has fewer bytes than UTF-16 has units, so most keys need no second look.
  const bytes = key.length > MAX_KEY_BYTES ? key.length : Buffer.byteLength(key, "utf8");
  if (bytes === 0 || bytes > MAX_KEY_BYTES) {
    throw new TopicError(
      "invalid-key",
      `a key must have 1 to ${MAX_KEY_BYTES} bytes of UTF-8, ${quote(key)} has ${bytes}`,
    );
  }
  // A lone surrogate would be stored as another key than the one that was hashed and sent.
  if (bytes !== key.length && !key.isWellFormed()) {
    throw new TopicError(
      "invalid-key",
      "a key must be well-formed Unicode, this one has half of a surrogate pair",
    );
  }
  return key;
}

function checked(text: string, pattern: RegExp, code: TopicErrorCode, what: string): string {
  if (typeof text === "string" && pattern.test(text)) return text;
  throw new TopicError(
    code,
    `${quote(text)} is not ${what}: 1 to ${MAX_NAME_LENGTH} letters, digits or "_" are allowed`,
  );
}

function quote(text: unknown): string {
  const shown = typeof text === "string" ? JSON.stringify(text) : String(text);
  return shown.length > 64 ? `${shown.slice(0, 64)}...` : shown;
}
