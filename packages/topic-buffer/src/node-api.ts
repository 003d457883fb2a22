/** What a buffer is to the program that opens it. */
import type {
  BufferApi,
  CallOptions,
  FoundMessage,
  FrameChunk,
  GetManyOptions,
  HashRange,
  ReadRequest,
  SegmentId,
} from "@x/topic-gateway/protocol";
import type { OwnerPhase } from "./range-owner.js";

export interface RangeStatus {
  readonly topic: string;
  readonly range: HashRange;
  readonly epoch: bigint;
  readonly phase: OwnerPhase;
  /** The segment that takes appends. */
  readonly segment: SegmentId | undefined;
  /** Accepted and not durable yet. */
  readonly queuedBytes: number;
}

export interface BufferStatus {
  readonly id: string;
  readonly address: string;
  /** `waiting`: without a session now, and trying to get a new one. */
  readonly state: "serving" | "waiting" | "closing" | "closed" | "failed";
  readonly ranges: readonly RangeStatus[];
  /** Segments served, open and sealed. */
  readonly segments: number;
  /** Messages in memory. */
  readonly hotBytes: number;
}

export interface PolledChunk {
  /** Undefined when nothing is there from that sequence on. */
  readonly chunk: FrameChunk | undefined;
  /** The segment is sealed and nothing comes after the chunk. Only its record says so for sure to others. */
  readonly atEnd: boolean;
}

/** A buffer at work. */
export interface BufferNode extends BufferApi, AsyncDisposable {
  readonly id: string;
  readonly address: string;
  status(): BufferStatus;
  /** Calls back when `status().state` has changed, with what it is now. The returned function stops that. */
  listen(listener: (state: BufferStatus["state"]) => void): () => void;
  /**
   * The newest message of a key with an id time of at least `fromTime`, or undefined.
   * @throws TopicError "invalid-key", "not-owner" if nothing at all is served here now
   */
  get(topic: string, key: string, options?: GetManyOptions): Promise<FoundMessage | undefined>;
  /** What can be read of a segment now, without waiting for more. @throws TopicError "not-owner" if the segment is not served here */
  poll(request: ReadRequest, options?: CallOptions): Promise<PolledChunk>;
  /**
   * Hands every range over, for up to 3 s, and gives the lease up; resolves when nothing of the buffer runs any more. An aborted
   * signal ends the handing over, not the closing: what is left is taken over by others when the lease is gone.
   */
  close(options?: { readonly signal?: AbortSignal }): Promise<void>;
}
