/** The names of etcd keys: the seed's where it has one, under `/x/` what it lacks. */
import { TopicError } from "../errors.js";
import { formatHashRange, type HashRange, parseHashRange } from "./hash-range.js";
import {
  type ConsumerName,
  parseConsumerName,
  parseSubscriptionName,
  parseTopicName,
  type SubscriptionName,
  type TopicName,
} from "./names.js";
import { parseSegmentName, type SegmentId, segmentName } from "./segment-id.js";

export const prefixes = {
  rangeSizes: "/topic_range_sizes/",
  rangeLeases: "/hash_range_leases/",
  segments: "/segments/",
  servers: "/buffer_segments/",
  subscriptions: "/subscriptions/",
  bookmarks: "/bookmarks/",
  bookmarkLeases: "/bookmark_leases/",
  buffers: "/x/buffers/",
  consumers: "/x/consumers/",
} as const;

export type ParsedKey =
  | { readonly kind: "range-size"; readonly topic: TopicName }
  | { readonly kind: "range-lease"; readonly topic: TopicName; readonly range: HashRange }
  | { readonly kind: "segment" | "server"; readonly segment: SegmentId }
  | { readonly kind: "subscription"; readonly topic: TopicName; readonly subscription: SubscriptionName }
  | {
      readonly kind: "bookmark" | "bookmark-lease";
      readonly subscription: SubscriptionName;
      readonly segment: SegmentId;
    }
  | { readonly kind: "buffer"; readonly buffer: string }
  | {
      readonly kind: "consumer";
      readonly topic: TopicName;
      readonly subscription: SubscriptionName;
      readonly consumer: ConsumerName;
    };

export function rangeSizeKey(topic: TopicName): string {
  return `${prefixes.rangeSizes}${topic}`;
}
export function rangeLeaseKey(topic: TopicName, range: HashRange): string {
  return `${prefixes.rangeLeases}${topic}/${formatHashRange(range)}`;
}
export function segmentKey(segment: SegmentId): string {
  return `${prefixes.segments}${segment.topic}/${segmentName(segment)}`;
}
/** Who serves a segment now. */
export function serverKey(segment: SegmentId): string {
  return `${prefixes.servers}${segment.topic}/${segmentName(segment)}`;
}
export function subscriptionKey(topic: TopicName, subscription: SubscriptionName): string {
  return `${prefixes.subscriptions}${topic}/${subscription}`;
}
export function bookmarkKey(subscription: SubscriptionName, segment: SegmentId): string {
  return `${prefixes.bookmarks}${segment.topic}/${subscription}/${segmentName(segment)}`;
}
export function bookmarkLeaseKey(subscription: SubscriptionName, segment: SegmentId): string {
  return `${prefixes.bookmarkLeases}${segment.topic}/${subscription}/${segmentName(segment)}`;
}
/** A buffer that is there, under its lease. */
export function bufferKey(buffer: string): string {
  return `${prefixes.buffers}${buffer}`;
}
/** A consumer of a subscription that is there, under its lease. */
export function consumerKey(
  topic: TopicName,
  subscription: SubscriptionName,
  consumer: ConsumerName,
): string {
  return `${prefixes.consumers}${topic}/${subscription}/${consumer}`;
}

/** Undefined for a key of somebody else. @throws TopicError if it has one of our prefixes and does not parse */
export function parseKey(key: string): ParsedKey | undefined {
  const parts = key.split("/");
  const [before, first, second, third, fourth] = parts;
  if (before !== "") return undefined;
  const at = (index: number): string => parts[index] ?? malformed(key);
  const want = (count: number): void => {
    if (parts.length !== count) malformed(key);
  };
  switch (`/${first}/`) {
    case prefixes.rangeSizes:
      want(3);
      return { kind: "range-size", topic: parseTopicName(at(2)) };
    case prefixes.rangeLeases:
      want(4);
      return { kind: "range-lease", topic: parseTopicName(at(2)), range: parseHashRange(at(3)) };
    case prefixes.segments:
    case prefixes.servers:
      want(4);
      return { kind: first === "segments" ? "segment" : "server", segment: parseSegmentName(at(2), at(3)) };
    case prefixes.subscriptions:
      want(4);
      return {
        kind: "subscription",
        topic: parseTopicName(at(2)),
        subscription: parseSubscriptionName(at(3)),
      };
    case prefixes.bookmarks:
    case prefixes.bookmarkLeases:
      want(5);
      return {
        kind: first === "bookmarks" ? "bookmark" : "bookmark-lease",
        subscription: parseSubscriptionName(at(3)),
        segment: parseSegmentName(at(2), at(4)),
      };
    case "/x/":
      if (second === "buffers") {
        want(4);
        return { kind: "buffer", buffer: third || malformed(key) };
      }
      if (second === "consumers") {
        want(6);
        return {
          kind: "consumer",
          topic: parseTopicName(third ?? malformed(key)),
          subscription: parseSubscriptionName(fourth ?? malformed(key)),
          consumer: parseConsumerName(at(5)),
        };
      }
      return undefined;
    default:
      return undefined;
  }
}

function malformed(key: string): never {
  throw new TopicError(
    "corrupt",
    `the key ${JSON.stringify(key).slice(0, 200)} has one of our prefixes but not its form`,
  );
}
