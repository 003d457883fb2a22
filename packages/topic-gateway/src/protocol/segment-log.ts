/** The port of segment logs: where a buffer makes messages durable before it acknowledges them. */
import type { FrameChunk } from "./buffer-api.js";
import type { HashRange } from "./hash-range.js";
import type { SegmentEnd } from "./records.js";

/**
 * `{store id}/{topic}.{incarnation}.{epoch}.{nonce}`, used once in the history of the world. `nonce` is that of its frames, in hex.
 */
export function logName(
  storeId: string,
  header: Pick<SegmentLogHeader, "topic" | "incarnation" | "epoch">,
  nonce: Uint8Array,
): string {
  return `${storeId}/${header.topic}.${header.incarnation}.${header.epoch}.${Buffer.from(nonce).toString("hex")}`;
}

/** The body of the header frame. */
export function encodeLogHeader(header: SegmentLogHeader): Buffer {
  return Buffer.from(
    JSON.stringify(header, (_, value) => (typeof value === "bigint" ? String(value) : value)),
  );
}

/** What the header frame of a log says, as JSON (64-bit numbers as decimal text). */
export interface SegmentLogHeader {
  readonly topic: string;
  readonly range: HashRange;
  readonly startTime: bigint;
  readonly incarnation: bigint;
  readonly layout: bigint;
  readonly epoch: bigint;
  readonly predecessors: readonly string[];
  /** The highest id time of the lineage before this log. */
  readonly lineageTime: bigint;
}

export interface SegmentLogWriter {
  /**
   * Resolves when the frames are durable AND the log was seen unsealed after that. One at a time; after any rejection the
   * writer refuses everything.
   * @throws TopicError "log-sealed" (the frames may or may not be in the log), "log-failed"
   */
  append(frames: Buffer): Promise<void>;
  /** Lets go of the file. Does not seal. */
  close(): Promise<void>;
}

export interface ReadLogOptions {
  /** The first message wanted, 1 by default. */
  readonly fromSequence?: number;
  /** Stops after this one. Needed: what is behind a seal's end was never acknowledged. */
  readonly lastSequence: number;
  readonly signal?: AbortSignal;
}

export interface SegmentLogStore {
  /**
   * Which store this is. Names of logs start with it and a slash, so that a log is never looked for in another store: for a name
   * that starts otherwise every method throws TopicError "unavailable".
   */
  readonly id: string;
  /**
   * Whether a log of this name would be in this store. Goes by the name alone. A root that two processes made at the same time
   * has two ids, so this is the question to ask, not whether a name starts with `id`; of an id that somebody else has just made it may
   * know only when it is asked again.
   */
  owns(name: string): boolean;
  /** Creates the log with its header frame, durable on return. @throws TopicError "log-exists", "log-failed" */
  create(name: string, headerFrame: Buffer): Promise<SegmentLogWriter>;
  /**
   * From its return on no append to the log succeeds, whoever tries. Idempotent, may be done by anyone, any number of times:
   * each call scans and gives where the valid frames end; the caller records the first answer, and all readers cut there.
   * @throws TopicError "log-missing" (it was recorded but is not there), "corrupt" (damage inside), "unavailable"
   */
  seal(name: string, options?: { readonly signal?: AbortSignal }): Promise<SegmentEnd>;
  /** Message frames in order, dense. @throws TopicError "log-missing", "corrupt" */
  read(name: string, options: ReadLogOptions): AsyncIterable<FrameChunk>;
  /** The log is no longer needed. A missing one is fine. */
  drop(name: string): Promise<void>;
}
