import { TopicError } from "../errors.js";
import { formatHashRange, type HashRange, parseHashRange } from "./hash-range.js";
import { MAX_TICKS } from "./message-id.js";
import { parseTopicName, type TopicName } from "./names.js";

export interface SegmentId {
  readonly topic: TopicName;
  /** 100 ns since 1582-10-15; no message of the segment is older. */
  readonly startTime: bigint;
  readonly range: HashRange;
}

/** `{time}_{from}-{to}`: what names a segment within its topic. */
export type SegmentName = string & { readonly __brand: "SegmentName" };

export function segmentName(id: Pick<SegmentId, "startTime" | "range">): SegmentName {
  return `${id.startTime}_${formatHashRange(id.range)}` as SegmentName;
}

/** @throws TopicError "invalid-argument" or those of its parts */
export function parseSegmentName(topic: string, text: string): SegmentId {
  const match = /^(0|[1-9]\d{0,18})_(.*)$/s.exec(text);
  const startTime = match ? BigInt(match[1] as string) : -1n;
  if (!match || startTime > MAX_TICKS) {
    throw new TopicError(
      "invalid-argument",
      `${JSON.stringify(text).slice(0, 64)} is not a segment: "{time}_{from}-{to}" is`,
    );
  }
  return { topic: parseTopicName(topic), startTime, range: parseHashRange(match[2] as string) };
}

/** `{topic}/{time}_{from}-{to}`. */
export function formatSegmentId(id: SegmentId): string {
  return `${id.topic}/${segmentName(id)}`;
}

/** `{topic}/{incarnation}/{time}_{from}-{to}`: a segment's name in an archive, never used for another one. */
export function archiveName(id: SegmentId, incarnation: bigint): string {
  return `${id.topic}/${incarnation}/${segmentName(id)}`;
}
