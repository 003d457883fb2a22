/** The life of every record, as the revisions of the coordination store tell it. */
import type { WatchEvent } from "@x/coord";
import {
  type BookmarkRecord,
  decodeBookmark,
  decodeSegment,
  decodeSubscription,
  formatHashRange,
  type HashRange,
  parseKey,
  type SegmentEnd,
  type SegmentId,
  type SegmentRecord,
  type SubscriptionRecord,
  segmentName,
} from "@x/topic-gateway/protocol";
import type { ObservedRevision } from "./history.js";

export interface Version<T> {
  readonly revision: bigint;
  /** When it was seen. */
  readonly timeMs: number;
  /** Undefined: deleted. */
  readonly value: T | undefined;
}

export interface Span {
  readonly createRevision: bigint;
  /** The revision that deleted it. */
  endRevision: bigint | undefined;
  readonly value: string;
}

export interface SegmentLife {
  readonly topic: string;
  readonly name: string;
  readonly id: SegmentId;
  readonly versions: Version<SegmentRecord>[];
  readonly createRevision: bigint;
  /** The first record, and the newest that is not deleted. */
  readonly first: SegmentRecord;
  last: SegmentRecord;
  /** What was first recorded as its end. */
  seal: { readonly revision: bigint; readonly timeMs: number; readonly end: SegmentEnd } | undefined;
  isDeleted: boolean;
}

export interface SubscriptionLife {
  readonly topic: string;
  readonly name: string;
  readonly createdMs: number;
  readonly versions: Version<SubscriptionRecord>[];
  /** By segment. */
  readonly bookmarks: Map<string, Version<BookmarkRecord>[]>;
  readonly leases: Map<string, Span[]>;
}

export class Timeline {
  /** In the order of their creation, by `{topic}/{segment}`. */
  readonly segments: Map<string, SegmentLife> = new Map();
  /** By `{topic}/{subscription}`. */
  readonly subscriptions: Map<string, SubscriptionLife> = new Map();
  /** By `{topic}/{from}-{to}`. */
  readonly rangeLeases: Map<string, Span[]> = new Map();
  /** Segments whose key was created again. */
  readonly recreated: SegmentLife[] = [];

  constructor(revisions: readonly ObservedRevision[]) {
    for (const { revision, timeMs, events } of revisions) {
      for (const event of events) this.#apply(event, revision, timeMs);
    }
  }

  /** The segments of a topic, in the order of their creation. */
  segmentsOf(topic: string): SegmentLife[] {
    return [...this.segments.values()].filter((segment) => segment.topic === topic);
  }

  #apply(event: WatchEvent, revision: bigint, timeMs: number): void {
    const key = event.type === "put" ? event.kv.key : event.key;
    const value = event.type === "put" ? event.kv.value : undefined;
    const parsed = parseKey(key);
    switch (parsed?.kind) {
      case "range-lease":
        span(this.rangeLeases, leaseName(parsed.topic, parsed.range), event, revision);
        break;
      case "segment":
        this.#applySegment(parsed.segment, value && decodeSegment(value), { revision, timeMs });
        break;
      case "subscription": {
        const life = this.#subscription(parsed.topic, parsed.subscription, timeMs);
        life.versions.push({ revision, timeMs, value: value && decodeSubscription(value) });
        break;
      }
      case "bookmark": {
        const { bookmarks } = this.#subscription(parsed.segment.topic, parsed.subscription, timeMs);
        const name = segmentName(parsed.segment);
        const versions = bookmarks.get(name) ?? [];
        bookmarks.set(name, versions);
        versions.push({ revision, timeMs, value: value && decodeBookmark(value) });
        break;
      }
      case "bookmark-lease": {
        const { leases } = this.#subscription(parsed.segment.topic, parsed.subscription, timeMs);
        span(leases, segmentName(parsed.segment), event, revision);
        break;
      }
      default:
    }
  }

  #applySegment(
    id: SegmentId,
    value: SegmentRecord | undefined,
    at: { readonly revision: bigint; readonly timeMs: number },
  ): void {
    const name = segmentName(id);
    let life = this.segments.get(`${id.topic}/${name}`);
    if (life?.isDeleted && value) {
      this.recreated.push(life);
      life = undefined;
    }
    if (!life) {
      if (!value) return;
      life = {
        topic: id.topic,
        name,
        id,
        versions: [],
        createRevision: at.revision,
        first: value,
        last: value,
        seal: undefined,
        isDeleted: false,
      };
      this.segments.set(`${id.topic}/${name}`, life);
    }
    life.versions.push({ ...at, value });
    if (!value) {
      life.isDeleted = true;
      return;
    }
    life.last = value;
    if (value.state === "deleted") life.isDeleted = true;
    if (value.sealed && !life.seal) life.seal = { ...at, end: value.sealed };
  }

  #subscription(topic: string, name: string, createdMs: number): SubscriptionLife {
    const id = `${topic}/${name}`;
    let life = this.subscriptions.get(id);
    if (!life) {
      life = { topic, name, createdMs, versions: [], bookmarks: new Map(), leases: new Map() };
      this.subscriptions.set(id, life);
    }
    return life;
  }
}

export function leaseName(topic: string, range: HashRange): string {
  return `${topic}/${formatHashRange(range)}`;
}

/** What was true at a revision. */
export function valueAt<T>(versions: readonly Version<T>[] | undefined, revision: bigint): T | undefined {
  return versions?.findLast((version) => version.revision <= revision)?.value;
}

/** The span that covers a revision, its last one included: what a transaction deletes it may also rely on. */
export function spanAt(spans: readonly Span[] | undefined, revision: bigint): Span | undefined {
  return spans?.find(
    ({ createRevision, endRevision }) =>
      createRevision <= revision && (endRevision === undefined || revision <= endRevision),
  );
}

/**
 * Where a subscription starts in a segment: the sequence that counts as passed, or undefined if all of the segment was there
 * before it.
 */
export function startOf(subscription: SubscriptionRecord, segment: SegmentLife): number | undefined {
  if (Object.hasOwn(subscription.positions, segment.name)) return subscription.positions[segment.name];
  return segment.createRevision <= subscription.revision ? undefined : 0;
}

function span(spans: Map<string, Span[]>, name: string, event: WatchEvent, revision: bigint): void {
  const known = spans.get(name) ?? [];
  spans.set(name, known);
  const last = known.at(-1);
  if (event.type === "delete") {
    if (last && last.endRevision === undefined) last.endRevision = revision;
    return;
  }
  const { createRevision, value } = event.kv;
  if (last?.createRevision === createRevision && last.endRevision === undefined) return;
  if (last && last.endRevision === undefined) last.endRevision = revision;
  known.push({ createRevision, endRevision: undefined, value: Buffer.from(value).toString("utf8") });
}
