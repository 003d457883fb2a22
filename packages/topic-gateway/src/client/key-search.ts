/** The search for the newest message of one key, segment by segment, newest first. Pure: it is told what was found where. */
import type { Frame } from "../protocol/frame.js";
import { inRange } from "../protocol/hash-range.js";
import type { SegmentId, SegmentName } from "../protocol/segment-id.js";
import { segmentName } from "../protocol/segment-id.js";
import type { SegmentView, TopicView } from "../topics/state.js";

/** A message, and where it was. */
export interface Found {
  readonly segment: SegmentId;
  readonly frame: Frame;
}

export class KeySearch {
  readonly key: string;
  readonly hash: number;
  /** 100 ns since 1582-10-15: what is older does not count. */
  readonly #fromTime: bigint;
  readonly #searched = new Set<SegmentName>();
  #best: Found | undefined;

  constructor(key: string, hash: number, fromTime: bigint) {
    this.key = key;
    this.hash = hash;
    this.#fromTime = fromTime;
  }

  /** What the search has come to, when `next` gives nothing more. */
  get result(): Found | undefined {
    return this.#best;
  }

  /**
   * The newest segment that must still be searched, or undefined when the result stands: segments of one hash follow each other in
   * time, so nothing in an older one is newer than what was found.
   */
  next(topic: TopicView): SegmentView | undefined {
    for (const segment of segmentsOfHash(topic, this.hash)) {
      if (this.#best && segment.id.startTime <= this.#best.segment.startTime) return undefined;
      const { record } = segment;
      if (record?.sealed && (record.sealed.lastTime < this.#fromTime || record.sealed.lastSequence === 0))
        continue;
      if (!this.#searched.has(segmentName(segment.id))) return segment;
    }
    return undefined;
  }

  /**
   * The answer of the server with this lease, which looked into all the segments that it serves. They are the ones that `served`, the
   * segments which it served by the records when it was asked, and the records now agree on.
   */
  answered(served: readonly SegmentView[], lease: bigint, found: Found | undefined): void {
    for (const { id, server } of served) {
      if (server?.lease === lease) this.#searched.add(segmentName(id));
    }
    if (found) this.#searched.add(segmentName(found.segment));
    this.#take(found);
  }

  /** What was found in a segment of the archive. */
  searchedArchive(segment: SegmentId, found: Found | undefined): void {
    this.#searched.add(segmentName(segment));
    this.#take(found);
  }

  #take(found: Found | undefined): void {
    if (!found || found.frame.time < this.#fromTime) return;
    if (!this.#best || found.frame.time > this.#best.frame.time) this.#best = found;
  }
}

/** Newest first. */
export function segmentsOfHash(topic: TopicView, hash: number): SegmentView[] {
  return [...topic.segments.values()]
    .filter(({ id, record }) => record && record.state !== "deleted" && inRange(hash, id.range))
    .sort((a, b) => (a.id.startTime < b.id.startTime ? 1 : -1));
}
