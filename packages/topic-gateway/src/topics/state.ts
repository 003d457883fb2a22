/**
 * Everything the system knows of topics, as one revision of the coordination store tells it. Built from the batches of one watch;
 * never asked for by a second read, so that all parts are of the same revision.
 */
import type { FollowBatch, KeyValue } from "@x/coord";
import { formatHashRange, type HashRange } from "../protocol/hash-range.js";
import { parseKey } from "../protocol/keys.js";
import type { SubscriptionName, TopicName } from "../protocol/names.js";
import {
  type BookmarkRecord,
  decodeAddress,
  decodeBookmark,
  decodeBuffer,
  decodeRangeSize,
  decodeSegment,
  decodeSubscription,
  type SegmentRecord,
  type SubscriptionRecord,
} from "../protocol/records.js";
import { type SegmentId, type SegmentName, segmentName } from "../protocol/segment-id.js";

export interface TopicView {
  readonly name: TopicName;
  /** Undefined while the topic itself does not exist, though something of it is still there. */
  config: { readonly factor: number; readonly incarnation: bigint; readonly layout: bigint } | undefined;
  /** By `{from}-{to}`. */
  readonly leases: Map<string, RangeLease>;
  readonly segments: Map<SegmentName, SegmentView>;
  readonly subscriptions: Map<SubscriptionName, SubscriptionView>;
}

export interface RangeLease {
  readonly range: HashRange;
  readonly epoch: bigint;
  /** Undefined: owned, but not routable. */
  readonly address: string | undefined;
  /** The id of the coordination lease that it hangs on. */
  readonly lease: bigint;
}

export interface SegmentView {
  readonly id: SegmentId;
  /** Undefined while only its server is known. */
  record: SegmentRecord | undefined;
  createRevision: bigint;
  modRevision: bigint;
  /** Who serves it. */
  server:
    | { readonly address: string | undefined; readonly modRevision: bigint; readonly lease: bigint }
    | undefined;
}

export interface SubscriptionView {
  readonly name: SubscriptionName;
  record: SubscriptionRecord | undefined;
  createRevision: bigint;
  modRevision: bigint;
  readonly bookmarks: Map<SegmentName, { readonly record: BookmarkRecord; readonly modRevision: bigint }>;
  /** Who reads a segment: the value is the reader's session. */
  readonly leases: Map<SegmentName, { readonly createRevision: bigint; readonly session: string }>;
  /** Sessions that are there, with the consumer's name as told by the session. */
  readonly consumers: Map<string, { readonly createRevision: bigint; readonly name: string }>;
}

export interface BufferView {
  readonly id: string;
  readonly address: string;
  readonly createRevision: bigint;
}

export class SystemState {
  revision = 0n;
  readonly topics: Map<TopicName, TopicView> = new Map();
  readonly buffers: Map<string, BufferView> = new Map();
  /** Keys of ours whose name or value does not parse, with the reason. They are left alone and count as absent. */
  readonly faults: Map<string, string> = new Map();

  /** The topic, if it exists. */
  topic(name: string): (TopicView & { readonly config: NonNullable<TopicView["config"]> }) | undefined {
    const topic = this.topics.get(name as TopicName);
    // The check of `config` is what makes the narrower type true.
    return topic?.config
      ? (topic as TopicView & { readonly config: NonNullable<TopicView["config"]> })
      : undefined;
  }

  apply(batch: FollowBatch): void {
    for (const event of batch.events) {
      const key = event.type === "put" ? event.kv.key : event.key;
      this.faults.delete(key);
      try {
        this.#applyKey(key, event.type === "put" ? event.kv : undefined);
      } catch (error) {
        this.faults.set(key, error instanceof Error ? error.message : String(error));
      }
    }
    this.revision = batch.revision;
  }

  #applyKey(key: string, kv: KeyValue | undefined): void {
    const parsed = parseKey(key);
    switch (parsed?.kind) {
      case undefined:
        return;
      case "range-size": {
        const topic = this.#topic(parsed.topic);
        topic.config = undefined;
        if (kv) {
          topic.config = {
            factor: decodeRangeSize(kv.value),
            incarnation: kv.createRevision,
            layout: kv.modRevision,
          };
        }
        break;
      }
      case "range-lease": {
        const { leases } = this.#topic(parsed.topic);
        const name = formatHashRange(parsed.range);
        if (!kv) leases.delete(name);
        else {
          const { createRevision: epoch, lease } = kv;
          leases.set(name, { range: parsed.range, epoch, address: decodeAddress(kv.value), lease });
        }
        break;
      }
      case "segment": {
        const segment = this.#segment(parsed.segment);
        segment.record = undefined;
        if (kv) {
          segment.createRevision = kv.createRevision;
          segment.modRevision = kv.modRevision;
          segment.record = decodeSegment(kv.value);
        }
        this.#dropEmptySegment(segment);
        break;
      }
      case "server": {
        const segment = this.#segment(parsed.segment);
        segment.server = kv && {
          address: decodeAddress(kv.value),
          modRevision: kv.modRevision,
          lease: kv.lease,
        };
        this.#dropEmptySegment(segment);
        break;
      }
      case "subscription": {
        const subscription = this.#subscription(parsed.topic, parsed.subscription);
        subscription.record = undefined;
        if (kv) {
          subscription.createRevision = kv.createRevision;
          subscription.modRevision = kv.modRevision;
          subscription.record = decodeSubscription(kv.value);
        }
        break;
      }
      case "bookmark": {
        const { bookmarks } = this.#subscription(parsed.segment.topic, parsed.subscription);
        const name = segmentName(parsed.segment);
        bookmarks.delete(name);
        if (kv) bookmarks.set(name, { record: decodeBookmark(kv.value), modRevision: kv.modRevision });
        break;
      }
      case "bookmark-lease": {
        const { leases } = this.#subscription(parsed.segment.topic, parsed.subscription);
        const name = segmentName(parsed.segment);
        if (!kv) leases.delete(name);
        else leases.set(name, { createRevision: kv.createRevision, session: text(kv) });
        break;
      }
      case "buffer":
        this.buffers.delete(parsed.buffer);
        if (kv) {
          const { address } = decodeBuffer(kv.value);
          this.buffers.set(parsed.buffer, { id: parsed.buffer, address, createRevision: kv.createRevision });
        }
        break;
      case "consumer": {
        const { consumers } = this.#subscription(parsed.topic, parsed.subscription);
        if (!kv) consumers.delete(parsed.consumer);
        else consumers.set(parsed.consumer, { createRevision: kv.createRevision, name: text(kv) });
        break;
      }
    }
  }

  #topic(name: TopicName): TopicView {
    let topic = this.topics.get(name);
    if (!topic) {
      topic = { name, config: undefined, leases: new Map(), segments: new Map(), subscriptions: new Map() };
      this.topics.set(name, topic);
    }
    return topic;
  }

  #segment(id: SegmentId): SegmentView {
    const { segments } = this.#topic(id.topic);
    const name = segmentName(id);
    let segment = segments.get(name);
    if (!segment) {
      segment = { id, record: undefined, createRevision: 0n, modRevision: 0n, server: undefined };
      segments.set(name, segment);
    }
    return segment;
  }

  #dropEmptySegment(segment: SegmentView): void {
    if (!segment.record && !segment.server)
      this.#topic(segment.id.topic).segments.delete(segmentName(segment.id));
  }

  #subscription(topic: TopicName, name: SubscriptionName): SubscriptionView {
    const { subscriptions } = this.#topic(topic);
    let subscription = subscriptions.get(name);
    if (!subscription) {
      subscription = {
        name,
        record: undefined,
        createRevision: 0n,
        modRevision: 0n,
        bookmarks: new Map(),
        leases: new Map(),
        consumers: new Map(),
      };
      subscriptions.set(name, subscription);
    }
    return subscription;
  }
}

function text(kv: KeyValue): string {
  return Buffer.from(kv.value).toString("utf8");
}
