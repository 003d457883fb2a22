/** Where a subscription starts in each segment of its topic, how far it is, and what may be read now. Pure: a function of one revision. */
import type { BookmarkRecord, SegmentRecord, SubscriptionRecord } from "../protocol/records.js";
import type { SegmentId, SegmentName } from "../protocol/segment-id.js";
import type { SubscriptionView, TopicView } from "../topics/state.js";

export interface SegmentProgress {
  readonly name: SegmentName;
  readonly id: SegmentId;
  readonly record: SegmentRecord;
  /** Everything up to here was passed when the subscription began; undefined: the whole segment was, it counts as finished. */
  readonly start: number | undefined;
  /** Everything up to here is acknowledged or was before the start. Without meaning when `start` is undefined. */
  readonly position: number;
  /** The bookmark, if there is one of the subscription's generation. */
  readonly bookmark: BookmarkRecord | undefined;
  /** Of the bookmark's key, of whatever generation; 0n when there is none. */
  readonly bookmarkRevision: bigint;
  /** Nothing is left to be read here: finished, before the start, or deleted. */
  readonly finished: boolean;
  /** All predecessors are finished, and this one is not. */
  readonly eligible: boolean;
  readonly holder: SegmentHolder | undefined;
}

export interface SegmentHolder {
  readonly session: string;
  readonly createRevision: bigint;
}

/** The position that a subscription starts at in a segment, or undefined if the segment is before its start. */
export function startOf(
  subscription: SubscriptionRecord,
  name: SegmentName,
  createRevision: bigint,
): number | undefined {
  // hasOwn: the positions come from JSON, and a plain read would find what every object inherits.
  if (Object.hasOwn(subscription.positions, name)) return subscription.positions[name];
  return createRevision <= subscription.revision ? undefined : 0;
}

export interface ProgressOptions {
  /** Segments whose record is there but damaged: what comes behind them waits, instead of taking them for deleted. */
  readonly unreadable?: ReadonlySet<SegmentName>;
  /** Leaves the others out, which spares most of the work where the history is long. Default: false. */
  readonly eligibleOnly?: boolean;
}

/** All segments of the topic's present incarnation, in the order of the view; [] when topic or subscription do not exist. */
export function progressOf(
  topic: TopicView,
  subscription: SubscriptionView,
  { unreadable = NONE, eligibleOnly = false }: ProgressOptions = {},
): SegmentProgress[] {
  const { config } = topic;
  const { record: subscribed } = subscription;
  if (!config || !subscribed) return [];

  const isFinished = (name: SegmentName): boolean => {
    if (unreadable.has(name)) return false;
    const segment = topic.segments.get(name);
    // Deleted with its record, or of a topic of the same name that is gone.
    if (!segment?.record || segment.record.incarnation !== config.incarnation) return true;
    if (segment.record.state === "deleted") return true;
    if (startOf(subscribed, name, segment.createRevision) === undefined) return true;
    const bookmark = subscription.bookmarks.get(name)?.record;
    return bookmark?.generation === subscribed.generation && bookmark.finished;
  };

  const found: SegmentProgress[] = [];
  for (const [name, { id, record, createRevision }] of topic.segments) {
    if (!record || record.incarnation !== config.incarnation) continue;
    const finished = isFinished(name);
    const eligible = !finished && record.predecessors.every(isFinished);
    if (eligibleOnly && !eligible) continue;
    const start = startOf(subscribed, name, createRevision);
    const kept = subscription.bookmarks.get(name);
    const bookmark = kept?.record.generation === subscribed.generation ? kept.record : undefined;
    found.push({
      name,
      id,
      record,
      start,
      position: Math.max(start ?? 0, bookmark?.sequence ?? 0),
      bookmark,
      bookmarkRevision: kept?.modRevision ?? 0n,
      finished,
      eligible,
      holder: subscription.leases.get(name),
    });
  }
  return found;
}

const NONE: ReadonlySet<SegmentName> = new Set();
