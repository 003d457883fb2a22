/**
 * What the segments of a topic mean for somebody who takes a range over. Pure.
 *
 * Which overlapping segments a new one must name as predecessors: those that no other overlapping segment has as an ancestor.
 * A segment is eligible when all its recorded predecessors are finished, before the start, or deleted. So once a named
 * predecessor Q is finished, Q was eligible, so everything that Q names was done, and so on: an ancestor of Q needs no mention.
 * "Before the start" is closed towards ancestors too: they were created earlier and sealed before Q was created, so a
 * subscription that starts after Q starts after them; and deletion goes oldest first, so a deleted segment has no ancestor that
 * is not. That holds for whole segments, whatever part of their hashes the descendants share, since a reader finishes segments,
 * not hashes. Order along every hash is therefore kept with the fewest names.
 */
import {
  type HashRange,
  parseKey,
  prefixes,
  rangesOverlap,
  type SegmentId,
  type SegmentName,
  type SegmentRecord,
  type SystemState,
  segmentName,
  type TopicView,
} from "@x/topic-gateway/protocol";

/** A segment as one revision shows it; the views of the state change under one's feet. */
export interface KnownSegment {
  readonly id: SegmentId;
  readonly name: SegmentName;
  readonly record: SegmentRecord;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly served: boolean;
}

export interface Lineage {
  /** Overlapping and open: they must be sealed before anything is opened here. */
  readonly unsealed: readonly KnownSegment[];
  /** Overlapping, sealed, not archived, and served by nobody. */
  readonly unserved: readonly KnownSegment[];
  /** What a new segment names, in the order of their names. Final once nothing is unsealed. */
  readonly predecessors: readonly SegmentName[];
  /** The highest id time so far; a new segment starts after it. */
  readonly lastTime: bigint;
  /** The segment that has it. */
  readonly last: SegmentId | undefined;
}

export function lineageOf(topic: TopicView, range: HashRange, incarnation: bigint): Lineage {
  const overlapping: KnownSegment[] = [];
  let lastTime = 0n;
  let last: SegmentId | undefined;
  for (const view of topic.segments.values()) {
    if (!view.record || !rangesOverlap(view.id.range, range)) continue;
    const { id, record, createRevision, modRevision } = view;
    // Deleted ones, and those of an earlier topic of the name, still push the time, so that no segment's name is ever used again.
    const time =
      record.sealed && record.sealed.lastTime > id.startTime ? record.sealed.lastTime : id.startTime;
    if (time > lastTime) {
      lastTime = time;
      last = id;
    }
    if (record.incarnation !== incarnation || record.state === "deleted") continue;
    overlapping.push({
      id,
      name: segmentName(id),
      record,
      createRevision,
      modRevision,
      served: view.server !== undefined,
    });
  }
  const passed = ancestors(topic, overlapping);
  return {
    unsealed: overlapping.filter(({ record }) => record.state === "open"),
    unserved: overlapping.filter(({ record, served }) => record.state === "sealed" && !served),
    predecessors: overlapping.flatMap(({ name }) => (passed.has(name) ? [] : [name])).sort(),
    lastTime,
    last,
  };
}

/** Everything that can be reached from the segments by recorded predecessors. A deleted one has only deleted ones before it. */
function ancestors(topic: TopicView, from: readonly KnownSegment[]): Set<SegmentName> {
  const found = new Set<SegmentName>();
  const open = from.map(({ record }) => record);
  for (let record = open.pop(); record; record = open.pop()) {
    for (const name of record.predecessors) {
      if (found.has(name)) continue;
      found.add(name);
      const before = topic.segments.get(name)?.record;
      if (before && before.state !== "deleted") open.push(before);
    }
  }
  return found;
}

/** A segment that overlaps the range and whose record can't be read: it must not be taken for one that isn't there. */
export function unreadableSegment(
  state: SystemState,
  topic: string,
  range: HashRange,
): { readonly segment: SegmentId; readonly reason: string } | undefined {
  for (const [key, reason] of state.faults) {
    if (!key.startsWith(`${prefixes.segments}${topic}/`)) continue;
    try {
      const parsed = parseKey(key);
      if (parsed?.kind === "segment" && rangesOverlap(parsed.segment.range, range))
        return { segment: parsed.segment, reason };
    } catch {
      // A name that no segment can have.
    }
  }
  return undefined;
}
