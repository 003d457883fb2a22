/**
 * What a buffer does for gateways and clients, as a port: implemented by the buffer itself, by its gRPC client, and by simulated
 * networks. All errors are TopicErrors; "unavailable" says that the buffer was not reached or went away in the middle.
 */
import type { HashRange } from "./hash-range.js";
import type { SegmentId } from "./segment-id.js";

/** Times and sequences of messages, both rising by one from the first. */
export interface IdRun {
  readonly time: bigint;
  readonly sequence: number;
  readonly count: number;
}

/** One sender's ordered way into one leased range. */
export interface LaneTarget {
  readonly topic: string;
  readonly range: HashRange;
  /** The create revision of the range's lease. */
  readonly epoch: bigint;
  /**
   * A newer lane of a sender ends its older ones in the range: what the network still holds of a stream that its sender has given up
   * must not come behind what the sender has sent since. Left out, lanes have nothing to do with each other.
   */
  readonly sender?: LaneSender;
}

export interface LaneSender {
  /** 16 random bytes in hex, the same in all lanes of one sender. */
  readonly id: string;
  /** Rises with each lane of the sender, from 1. */
  readonly attempt: number;
}

export interface PublishBatch {
  /** Chosen by the sender, never used twice on a stream. */
  readonly lane: number;
  /** With the first batch of a lane only. */
  readonly open?: LaneTarget;
  /** 1, 2, 3, ... within the lane. */
  readonly batch: number;
  /** Bodies of messages (see message.ts), each with its length as a u32 before it. */
  readonly entries: Buffer;
}

export type RefusalCode = "not-owner" | "overloaded" | "invalid-argument" | "shutting-down" | "failed";

export type PublishReply =
  /** Every batch of the lane up to `batch` is durable; `runs` are the ids of the messages newly acknowledged, in order. */
  | { readonly type: "ack"; readonly lane: number; readonly batch: number; readonly runs: readonly IdRun[] }
  /** The lane takes nothing any more. What was not acknowledged may or may not be in the log. */
  | { readonly type: "refused"; readonly lane: number; readonly code: RefusalCode; readonly message: string };

export interface ReadRequest {
  readonly segment: SegmentId;
  /** The first sequence wanted; 1 is a segment's first. */
  readonly fromSequence: number;
}

export interface FrameChunk {
  /** Whole message frames (see frame.ts), dense. */
  readonly frames: Buffer;
  readonly firstSequence: number;
  readonly count: number;
}

export interface FoundMessage {
  readonly segment: SegmentId;
  readonly frame: Buffer;
}

/** What was found of one of many keys. */
export interface FoundKey {
  /** Into the keys that were asked for. */
  readonly index: number;
  /** Undefined: this buffer has none. */
  readonly found: FoundMessage | undefined;
}

/** The most keys of one `getMany`. */
export const MAX_KEYS = 10_000;

export interface SegmentStatus {
  readonly segment: SegmentId;
  /** The last sequence that is durable and visible. */
  readonly durableSequence: number;
  readonly bytes: number;
  /** Appends are accepted. */
  readonly open: boolean;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface GetManyOptions extends CallOptions {
  /** 100 ns since 1582-10-15. Default: any. */
  readonly fromTime?: bigint;
  /**
   * The newest revision of a record that the question relies on, as the asker has seen it (of a segment that may have the keys, or of its
   * server): the buffer waits until it has seen it as well. Otherwise it could answer that there is nothing, before it knows that it has
   * become the server of a segment that the asker expects of it.
   */
  readonly revision?: bigint;
  /**
   * The coordination lease of the server records that the question relies on. A buffer that was started again at the same address has
   * another one, and nothing of what it served before: its "nothing" would be believed. Default: any.
   */
  readonly lease?: bigint;
}

export interface BufferApi {
  /**
   * One stream of batches in, replies out, in the order in which they come to pass. Every lane is answered: its batches by
   * acknowledgements or by one refusal. When `batches` ends, the replies end after the last outstanding answer.
   * @throws TopicError "unavailable", "invalid-argument" (the stream is nonsense; nothing more is answered)
   */
  publish(batches: AsyncIterable<PublishBatch>, options?: CallOptions): AsyncIterable<PublishReply>;
  /**
   * Follows an open segment as it grows, until this buffer no longer serves it; ends after the last message of a sealed one.
   * The end of the stream says nothing about the end of the segment: only its record does.
   * @throws TopicError "not-owner" if the segment is not served here
   */
  read(request: ReadRequest, options?: CallOptions): AsyncIterable<FrameChunk>;
  /**
   * The newest message of each key with an id time of at least `fromTime`: one answer for each, in their order.
   * @throws TopicError "invalid-argument" for more than `MAX_KEYS`, "invalid-key", "not-owner" if nothing at all is served here now, or under
   * another lease than `lease`
   */
  getMany(topic: string, keys: readonly string[], options?: GetManyOptions): AsyncIterable<FoundKey>;
  /** The segments of a topic that this buffer serves. */
  describe(topic: string, options?: CallOptions): Promise<readonly SegmentStatus[]>;
}

export interface BufferConnection extends BufferApi, AsyncDisposable {}

/** Connects lazily: a wrong address shows in the calls. */
export type ConnectBuffer = (address: string) => BufferConnection;
