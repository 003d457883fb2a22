import type { SegmentChunk } from "./segment-chunk.js";

/** What was read ahead of one segment: chunks go in, sequences come out, and the reader is held back while there is enough. */
export class DeliveryQueue {
  readonly #maxBytes: number;
  #chunks: SegmentChunk[] = [];
  #head = 0;
  /** The next sequence to come out of the chunk at the head. */
  #next = 0;
  #bytes = 0;
  #roomWanted: (() => void) | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#head === this.#chunks.length;
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

  /** The chunk at the head and the sequence in it that is next, if `accept` is true for them: then they are taken. */
  peek(): SegmentChunk | undefined {
    return this.#chunks[this.#head];
  }

  get next(): number {
    return this.#next;
  }

  /** Takes the next sequence out. Only after `peek` gave a chunk. */
  advance(): void {
    const chunk = this.#chunks[this.#head] as SegmentChunk;
    this.#next += 1;
    if (this.#next <= chunk.lastSequence) return;
    this.#bytes -= chunk.bytes.length;
    // What was taken must not be kept alive; moving the rest once in a while is cheaper than shifting each time.
    this.#head += 1;
    if (this.#head >= 32 || this.#head === this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
    this.#next = this.#chunks[this.#head]?.firstSequence ?? 0;
    if (this.#bytes < this.#maxBytes) this.#wakeReader();
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#wakeReader();
  }

  #wakeReader(): void {
    const wake = this.#roomWanted;
    this.#roomWanted = undefined;
    wake?.();
  }
}
