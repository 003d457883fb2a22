import {
  type FrameChunk,
  formatSegmentId,
  type SegmentId,
  type SegmentLogStore,
  type SegmentName,
  segmentName,
  TopicError,
  type TopicName,
} from "@x/topic-gateway/protocol";
import { type HotChunk, readChunks } from "./hot-chunks.js";
import type { HotHolder, HotMemory } from "./hot-memory.js";
import { KeyIndex, keysInFrames } from "./key-index.js";

export interface HotSegmentOptions {
  readonly id: SegmentId;
  /** The name of its log. */
  readonly log: string;
  readonly logs: SegmentLogStore;
  readonly memory: HotMemory;
  readonly maxIndexedKeys: number;
  /** Of a sealed one. */
  readonly lastSequence?: number;
}

/**
 * A segment that this buffer serves: its newest messages in memory, the others in its log, and the readers that wait for more.
 * What is visible was durable and the fence was looked at; nothing else ever gets in here.
 */
export class HotSegment implements HotHolder {
  readonly id: SegmentId;
  readonly name: SegmentName;
  readonly log: string;
  readonly #logs: SegmentLogStore;
  readonly #memory: HotMemory;
  readonly #index: KeyIndex;
  /** From #head on; the evicted ones in front are undefined and cut off now and then. */
  #chunks: (HotChunk | undefined)[] = [];
  #head = 0;
  /** The last sequence in memory; messages behind it (only of a sealed segment) are in the log. */
  #hotThrough = 0;
  #visible = 0;
  #bytes = 0;
  #sealed = false;
  #ended = false;
  #indexing: Promise<void> | undefined;
  /** Wake those who read and wait for more. */
  readonly #waiting: Set<() => void> = new Set();

  constructor(options: HotSegmentOptions) {
    this.id = options.id;
    this.name = segmentName(options.id);
    this.log = options.log;
    this.#logs = options.logs;
    this.#memory = options.memory;
    this.#index = new KeyIndex(options.maxIndexedKeys);
    if (options.lastSequence !== undefined) {
      this.#visible = options.lastSequence;
      this.#sealed = true;
    }
    this.#memory.join(this);
  }

  get topic(): TopicName {
    return this.id.topic;
  }
  /** The last sequence that is durable and visible. */
  get visible(): number {
    return this.#visible;
  }
  get sealed(): boolean {
    return this.#sealed;
  }
  /** No longer served here. */
  get ended(): boolean {
    return this.#ended;
  }
  /** Of messages appended here; unknown (0) for a segment of somebody else. */
  get bytes(): number {
    return this.#bytes;
  }
  get oldest(): number | undefined {
    return this.#chunks[this.#head]?.stamp;
  }

  /** Makes messages visible: durable ones, whose fence was looked at. */
  append(frames: Buffer, firstSequence: number, offsets: readonly number[]): void {
    const stamp = this.#memory.add(frames.length);
    this.#chunks.push({ firstSequence, frames, offsets, stamp });
    this.#visible = firstSequence + offsets.length - 1;
    this.#hotThrough = this.#visible;
    this.#bytes += frames.length;
    this.#tell();
  }

  /** Sets where the segment ends. Messages that were durable but never exposed become visible with it. */
  seal(lastSequence: number): void {
    if (this.#sealed) return;
    this.#sealed = true;
    this.#visible = lastSequence;
    this.#tell();
  }

  /** Stops serving: readers that wait end, memory is freed. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    while (this.oldest !== undefined) this.#memory.free(this.evictOldest());
    this.#memory.leave(this);
    this.#tell();
  }

  evictOldest(): number {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return 0;
    this.#chunks[this.#head] = undefined;
    this.#head += 1;
    if (this.#head >= 64 && this.#head * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    return chunk.frames.length;
  }

  /**
   * Messages from a sequence on as they become visible, dense, whoever else reads. Nothing is kept for a reader between two chunks.
   * Ends after the last message of a sealed segment, or when it is no longer served. @throws TopicError of the log, `signal.reason`
   */
  async *read(fromSequence: number, signal?: AbortSignal): AsyncGenerator<FrameChunk, void, undefined> {
    let next = Math.max(1, fromSequence);
    let wake = (): void => {};
    const onAbort = (): void => wake();
    signal?.addEventListener("abort", onAbort);
    try {
      for (;;) {
        signal?.throwIfAborted();
        if (this.#ended) return;
        if (next <= this.#visible) {
          const hot = this.#hot(next);
          if (hot) {
            next += hot.count;
            yield hot;
            continue;
          }
          const before = next;
          for await (const chunk of this.#cold(next, signal)) {
            next = chunk.firstSequence + chunk.count;
            yield chunk;
            if (this.#ended) return;
          }
          if (next === before) throw this.#lacks(next);
        } else {
          if (this.#sealed) return;
          await new Promise<void>((resolve) => {
            wake = resolve;
            this.#waiting.add(wake);
          });
          this.#waiting.delete(wake);
        }
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** The newest message of a key, or undefined. @throws TopicError of the log, `signal.reason` */
  async find(key: string, signal?: AbortSignal): Promise<{ frame: Buffer; time: bigint } | undefined> {
    await this.#indexThrough(this.#visible);
    signal?.throwIfAborted();
    const sequence = this.#index.find(key);
    if (sequence !== undefined) {
      for await (const chunk of this.#through(sequence, sequence, signal)) {
        for (const found of keysInFrames(chunk)) if (found.sequence === sequence) return found;
      }
    }
    // Older than what the index holds: the last one of a scan.
    let newest: { frame: Buffer; time: bigint } | undefined;
    for await (const chunk of this.#through(1, this.#index.from - 1, signal)) {
      for (const { key: other, frame, time } of keysInFrames(chunk)) {
        if (other === key) newest = { frame: Buffer.from(frame), time };
      }
    }
    return newest;
  }

  /** One run at a time, since the index goes forward; shared by callers, so that none of them can abort it. */
  async #indexThrough(sequence: number): Promise<void> {
    while (this.#index.through < sequence) {
      this.#indexing ??= (async () => {
        for await (const chunk of this.#through(this.#index.through + 1, sequence, undefined))
          this.#index.add(chunk);
      })().finally(() => {
        this.#indexing = undefined;
      });
      await this.#indexing;
    }
  }

  /** Visible messages of a span, from memory and log. */
  async *#through(from: number, to: number, signal: AbortSignal | undefined): AsyncGenerator<FrameChunk> {
    let next = from;
    while (next <= to) {
      signal?.throwIfAborted();
      const hot = this.#hot(next);
      if (hot) {
        next += hot.count;
        yield hot;
        continue;
      }
      const before = next;
      for await (const chunk of this.#cold(next, signal, to)) {
        next = chunk.firstSequence + chunk.count;
        yield chunk;
      }
      if (next === before) throw this.#lacks(next);
    }
  }

  /** From the log, up to where memory begins. */
  #cold(
    from: number,
    signal: AbortSignal | undefined,
    to: number = this.#visible,
  ): AsyncIterable<FrameChunk> {
    const first = this.#chunks[this.#head]?.firstSequence;
    const lastSequence = first !== undefined && from < first ? Math.min(to, first - 1) : to;
    return this.#logs.read(this.log, { fromSequence: from, lastSequence, ...(signal && { signal }) });
  }

  /** From memory, or undefined if the message is not there. */
  #hot(sequence: number): FrameChunk | undefined {
    return sequence > this.#hotThrough ? undefined : readChunks(this.#chunks, this.#head, sequence);
  }

  #lacks(sequence: number): TopicError {
    return new TopicError(
      "corrupt",
      `the log of ${formatSegmentId(this.id)} does not give message ${sequence} of ${this.#visible}`,
    );
  }

  #tell(): void {
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}
