/** The port of segment archives: where sealed segments go, whole, and are read from by anybody. */
import type { FrameChunk } from "./buffer-api.js";
import type { ReadLogOptions } from "./segment-log.js";

export interface SegmentArchive {
  /**
   * Stores a whole segment; durable and readable on return. Idempotent: doing it again with the same messages is fine.
   * `name` is `{topic}/{incarnation}/{segment}`.
   */
  put(
    name: string,
    chunks: AsyncIterable<FrameChunk>,
    options: { readonly lastSequence: number; readonly signal?: AbortSignal },
  ): Promise<void>;
  /** Message frames in order, dense. @throws TopicError "log-missing", "corrupt" */
  read(name: string, options: ReadLogOptions): AsyncIterable<FrameChunk>;
  /** A missing one is fine. */
  drop(name: string): Promise<void>;
}
