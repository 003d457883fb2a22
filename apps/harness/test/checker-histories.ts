/** Hand-made histories: a small good one, and tools to break it. */
import type { KeyValue, WatchEvent } from "@x/coord";
import { murmur3Mod } from "@x/space";
import {
  type BookmarkRecord,
  bookmarkKey,
  bookmarkLeaseKey,
  encodeBookmark,
  encodeRangeSize,
  encodeSegment,
  encodeSubscription,
  formatMessageId,
  parseSegmentName,
  parseSubscriptionName,
  parseTopicName,
  rangeLeaseKey,
  rangeSizeKey,
  type SegmentName,
  type SegmentRecord,
  type SubscriptionRecord,
  segmentKey,
  subscriptionKey,
} from "@x/topic-gateway/protocol";
import type { CommitOp, Delivery, History, LoggedMessage, PublishOp } from "../src/checker/index.js";

export const topic = "orders";
/** One range holds all hashes. */
export const first = "1000_0-65535";
export const second = "2000_0-65535";

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** A history in the making: everything in it may be changed before it is checked. */
export interface Draft {
  publishes: Mutable<PublishOp>[];
  deliveries: Mutable<Delivery>[];
  commits: Mutable<CommitOp>[];
  revisions: { timeMs: number; revision: bigint; events: WatchEvent[] }[];
  contents: { topic: string; segment: string; messages: Mutable<LoggedMessage>[] }[];
  faultsEndedMs?: number;
}

/** Keeps revisions as a coordination store does. */
export class Store {
  readonly draft: Draft;
  readonly #keys = new Map<string, KeyValue>();
  #leases = 100n;

  constructor(draft: Draft) {
    this.draft = draft;
  }

  get revision(): bigint {
    return this.draft.revisions.at(-1)?.revision ?? 0n;
  }

  /** One transaction: undefined deletes. Gives its revision; it is seen at that many milliseconds. */
  txn(changes: Record<string, string | undefined>): bigint {
    const revision = this.revision + 1n;
    const events = Object.entries(changes).map(([key, text]): WatchEvent => {
      const before = this.#keys.get(key);
      if (text === undefined) {
        this.#keys.delete(key);
        return { type: "delete", key, modRevision: revision };
      }
      const kv: KeyValue = {
        key,
        value: Buffer.from(text),
        createRevision: before?.createRevision ?? revision,
        modRevision: revision,
        version: (before?.version ?? 0n) + 1n,
        lease: 0n,
      };
      this.#keys.set(key, kv);
      return { type: "put", kv };
    });
    this.draft.revisions.push({ timeMs: Number(revision), revision, events });
    return revision;
  }

  nextLease(): bigint {
    this.#leases += 1n;
    return this.#leases;
  }
}

const topicName = parseTopicName(topic);
const subscription = parseSubscriptionName("billing");

export const keys = {
  size: rangeSizeKey(topicName),
  range: (from: number, to: number) => rangeLeaseKey(topicName, { from, to }),
  segment: (name: string) => segmentKey(parseSegmentName(topic, name)),
  subscription: subscriptionKey(topicName, subscription),
  bookmark: (name: string) => bookmarkKey(subscription, parseSegmentName(topic, name)),
  lease: (name: string) => bookmarkLeaseKey(subscription, parseSegmentName(topic, name)),
};

export function segment(
  name: string,
  record: Partial<SegmentRecord> & Pick<SegmentRecord, "epoch" | "log">,
): string {
  const predecessors = (record.predecessors ?? []) as SegmentName[];
  const state = record.sealed ? "sealed" : "open";
  return encodeSegment(parseSegmentName(topic, name), {
    incarnation: 1n,
    layout: 1n,
    state,
    ...record,
    predecessors,
  });
}

export function bookmark(name: string, record: Partial<BookmarkRecord>): string {
  return encodeBookmark(parseSegmentName(topic, name), {
    sequence: 0,
    time: 0n,
    finished: false,
    generation: 1,
    ...record,
  });
}

export function subscribed(record: Partial<SubscriptionRecord> = {}): string {
  return encodeSubscription({ mode: "earliest", revision: 0n, positions: {}, generation: 1, ...record });
}

export function message(
  sequence: number,
  time: bigint,
  number = sequence,
  more: Partial<LoggedMessage> = {},
): Mutable<LoggedMessage> {
  return { sequence, time, key: "k", producer: "p", number, ...more };
}

export function idOf(sequence: number, time: bigint, rangeFrom = 0): string {
  return formatMessageId({ sequence, time, rangeFrom });
}

/** The hash that routes a key. */
export function hashOf(key: string): number {
  return murmur3Mod(key, 65535);
}

export interface Good {
  readonly draft: Draft;
  readonly store: Store;
  /** The create revisions of the consumer's leases on the two segments. */
  readonly leases: readonly [bigint, bigint];
  check(): History;
}

/**
 * Two segments of one range, the second opened by another buffer after it sealed the first; two messages in each; all
 * acknowledged, delivered to one subscription and committed.
 */
export function goodHistory(): Good {
  const draft: Draft = { publishes: [], deliveries: [], commits: [], revisions: [], contents: [] };
  const store = new Store(draft);
  store.txn({ [keys.size]: encodeRangeSize(16) });
  store.txn({ [keys.subscription]: subscribed() });
  const epoch = store.txn({ [keys.range(0, 65536)]: "one:1" });
  store.txn({ [keys.segment(first)]: segment(first, { epoch, log: "log/a" }) });
  const lease = store.txn({ [keys.lease(first)]: "9", [keys.bookmark(first)]: bookmark(first, {}) });
  store.txn({ [keys.range(0, 65536)]: undefined });
  const next = store.txn({ [keys.range(0, 65536)]: "two:1" });
  const sealed = { end: 500, lastSequence: 2, lastTime: 1500n };
  store.txn({ [keys.segment(first)]: segment(first, { epoch, log: "log/a", sealed }) });
  store.txn({
    [keys.segment(second)]: segment(second, {
      epoch: next,
      log: "log/b",
      predecessors: [first] as string[] as SegmentName[],
    }),
  });
  store.txn({
    [keys.bookmark(first)]: bookmark(first, { sequence: 2, finished: true }),
    [keys.lease(first)]: undefined,
  });
  const later = store.txn({ [keys.lease(second)]: "9", [keys.bookmark(second)]: bookmark(second, {}) });
  store.txn({ [keys.bookmark(second)]: bookmark(second, { sequence: 2 }) });

  draft.contents.push(
    { topic, segment: first, messages: [message(1, 1100n), message(2, 1500n)] },
    { topic, segment: second, messages: [message(1, 2100n, 3), message(2, 2200n, 4)] },
  );
  for (const { segment: name, messages } of draft.contents) {
    for (const { sequence, time, key, producer, number } of messages) {
      const id = idOf(sequence, time);
      const invokedMs = name === first ? 3 : 9;
      draft.publishes.push({
        topic,
        key,
        producer,
        number,
        invokedMs,
        answeredMs: 10,
        outcome: "acked",
        id,
      });
      draft.deliveries.push({
        timeMs: 20,
        topic,
        subscription: "billing",
        session: "9",
        segment: name,
        sequence,
        lease: name === first ? lease : later,
        id,
        key,
        producer,
        number,
      });
    }
    draft.commits.push({
      topic,
      subscription: "billing",
      session: "9",
      segment: name,
      sequence: 2,
      lease: name === first ? lease : later,
      invokedMs: 21,
      outcome: "ok",
    });
  }
  draft.faultsEndedMs = 15;
  return { draft, store, leases: [lease, later], check: () => draft };
}
