/**
 * What was seen of a topic system from outside: what its users asked and were told, every revision of its coordination store,
 * and what its logs and archives held in the end. All times are of one clock, that of the observer.
 */
import type { WatchEvent } from "@x/coord";

/** What a workload puts into each message, so that it is known again. */
export interface Stamp {
  /** Unique among all lives of all producers: one that starts again has another name. */
  readonly producer: string;
  /** 1, 2, 3, ... in the order of sending. */
  readonly number: number;
}

export interface PublishOp extends Stamp {
  readonly topic: string;
  readonly key: string;
  readonly invokedMs: number;
  readonly answeredMs?: number;
  /**
   * `failed`: refused for what it was, it can't be in a log. `unknown`: timed out, was told that nobody knows, or never answered:
   * it may be in a log or not.
   */
  readonly outcome: "acked" | "failed" | "unknown";
  /** The message's id, when it was acknowledged. */
  readonly id?: string;
}

export interface Delivery extends Stamp {
  readonly timeMs: number;
  readonly topic: string;
  readonly subscription: string;
  /** Who it was delivered to. */
  readonly session: string;
  /** `{time}_{from}-{to}`. */
  readonly segment: string;
  readonly sequence: number;
  /** The create revision of the lease under which it was delivered. */
  readonly lease: bigint;
  readonly id: string;
  readonly key: string;
}

export interface CommitOp {
  readonly topic: string;
  readonly subscription: string;
  readonly session: string;
  readonly segment: string;
  /** It and everything before it in the segment. */
  readonly sequence: number;
  readonly lease: bigint;
  readonly invokedMs: number;
  readonly outcome: "ok" | "refused" | "unknown";
}

export interface ObservedRevision {
  /** When it was seen: not before it happened. */
  readonly timeMs: number;
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

export interface LoggedMessage extends Stamp {
  readonly sequence: number;
  /** Of its id, 100 ns since 1582-10-15. */
  readonly time: bigint;
  readonly key: string;
  /** For de-duplication, if its producer asked for that. */
  readonly dedup?: { readonly id: string; readonly sequence: bigint };
}

/** What a segment holds up to its recorded end, or in all if it was never sealed. */
export interface SegmentContent {
  readonly topic: string;
  readonly segment: string;
  readonly messages: readonly LoggedMessage[];
  /** Why the rest of it can't be read. */
  readonly damage?: string;
}

export interface History {
  readonly publishes: readonly PublishOp[];
  /** In the order in which they were seen. */
  readonly deliveries: readonly Delivery[];
  readonly commits: readonly CommitOp[];
  /** From the first one on, none left out. */
  readonly revisions: readonly ObservedRevision[];
  /** Of all segments that are not deleted. */
  readonly contents: readonly SegmentContent[];
  /** From then on the system was left alone, for long enough. Undefined: nothing can be said of what must have come to pass. */
  readonly faultsEndedMs?: number;
}
