import { createFanout, type ErrorClass, type Fanout } from "@x/fanout";
import type { Range } from "@x/space";
import { TopicError } from "../errors.js";
import type { Runtime } from "../protocol/runtime.js";
import { segmentName } from "../protocol/segment-id.js";
import type { SegmentView, TopicView } from "../topics/state.js";

/** A segment that some keys are looked for in next, as a view for fanout. */
export interface Place {
  readonly serves: Range<bigint>;
  readonly segment: SegmentView;
  /** Undefined: no buffer has the segment any more. */
  readonly address: string | undefined;
}

export type BufferFanout = Fanout<Place, bigint>;

/** The fanout over the buffers that all calls of a client share. */
export function fanoutOverBuffers(runtime: Runtime): BufferFanout {
  return createFanout<Place, bigint>({
    serverOf: (place) => place.address,
    clock: runtime.clock,
    random: () => runtime.random.number(),
    classify: classifyTopicError,
    // A segment has one server, so there is nobody to hedge to. A request is sent again when the segment has moved, and as long as the
    // deadline allows: taking a range over from a buffer that is silent takes as long as its lease.
    hedge: false,
    retry: { maxAttempts: 1_000, baseMs: 20, maxMs: 100 },
    budget: { burst: 10_000, ratio: 1 },
    idleTimeoutMs: Number.POSITIVE_INFINITY,
    maxPointsPerRequest: 1_000,
  });
}

/**
 * The segments of one question. Segments of different times overlap in their hashes, so each has a stretch of 2^16 points of its own:
 * its number, then the hash.
 */
export class Places {
  readonly #segments: SegmentView[];
  readonly #numbers: Map<SegmentView, number>;

  constructor(segments: readonly SegmentView[]) {
    this.#segments = [...new Set(segments)];
    this.#numbers = new Map(this.#segments.map((segment, number) => [segment, number]));
  }

  pointOf(segment: SegmentView, hash: number): bigint {
    return BigInt((this.#numbers.get(segment) as number) * 0x10000 + hash);
  }

  /** Who has them now. A segment that nobody serves has no view: that may change. */
  views(topic: TopicView | undefined): Place[] {
    return this.#segments.flatMap((segment, number): Place[] => {
      const serves = { from: BigInt(number * 0x10000), to: BigInt((number + 1) * 0x10000) };
      const { record, server } = segment;
      const isGone =
        topic?.segments.get(segmentName(segment.id)) !== segment ||
        record === undefined ||
        record.state === "archived" ||
        record.state === "deleted";
      if (isGone) return [{ serves, segment, address: undefined }];
      const address = server?.address;
      return address !== undefined ? [{ serves, segment, address }] : [];
    });
  }
}

function classifyTopicError(error: unknown): ErrorClass {
  if (!(error instanceof TopicError)) return "not-mine";
  switch (error.code) {
    case "not-owner":
    case "unavailable":
    case "closed":
      return "not-mine";
    case "overloaded":
      return "overloaded";
    default:
      return "not-retryable";
  }
}
