import type { SegmentChunk } from "./segment-chunk.js";

/** What was read ahead of one segment: chunks go in, sequences come out, and the reader is held back while there is enough. */
export class DeliveryQueue {
  readonly #maxBytes: number;
  #chunks: SegmentChunk[] = [];
  /** The next sequence to come out of the first chunk. */
  #next = 0;
  #bytes = 0;
  #roomWanted: (() => void) | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  push(chunk: SegmentChunk): void {
    if (this.isEmpty) this.#next = chunk.firstSequence;
    this.#chunks.push(chunk);
    this.#bytes += chunk.bytes.length;
  }

  /** Resolves when there is room for another chunk, or everything was dropped. For one reader. */
  async room(): Promise<void> {
    while (this.#bytes >= this.#maxBytes) {
      await new Promise<void>((resolve) => {
        this.#roomWanted = resolve;
      });
    }
  }

  /** The chunk that `next` is in. */
  get first(): SegmentChunk | undefined {
    return this.#chunks[0];
  }

  get next(): number {
    return this.#next;
  }

  /** Takes `next` out. Only while there is a `first`. */
  advance(): void {
    const chunk = this.#chunks[0] as SegmentChunk;
    this.#next += 1;
    if (this.#next <= chunk.lastSequence) return;
    this.#chunks.shift();
    this.#bytes -= chunk.bytes.length;
    this.#next = this.#chunks[0]?.firstSequence ?? 0;
    if (this.#bytes < this.#maxBytes) this.#wakeReader();
  }

  clear(): void {
    this.#chunks = [];
    this.#bytes = 0;
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#roomWanted;
    this.#roomWanted = undefined;
    wake?.();
  }
}
