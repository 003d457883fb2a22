import type { ChunkMemory } from "./chunk-memory.js";

/** Waits until `begin` calls back, or nobody wants to wait any more; `begin` gives what takes it back. */
export type Pause = (begin: (resolve: () => void) => () => void) => Promise<void>;

interface Waiter {
  readonly bytes: number;
  readonly hand: (buffer: Buffer) => void;
}

/**
 * Buffers that batches are sent from when their bytes are in files, or in many small chunks: a part of the memory of an append service.
 * When that is full, whoever has to have one waits, in order. One may be taken even then: or all could wait for memory that is only
 * given back when something was sent.
 */
export class SendBuffers {
  readonly #memory: ChunkMemory;
  #waiting: Waiter[] = [];
  /** The one that is held although there was no room for it. */
  #beyond: Buffer | undefined;

  constructor(memory: ChunkMemory) {
    this.#memory = memory;
  }

  /** For those who can do without. */
  tryTake(bytes: number): Buffer | undefined {
    return this.#waiting.length === 0 ? this.#takeRoom(bytes) : undefined;
  }

  /** Undefined when the pause has ended before there was one. */
  async take(bytes: number, pause: Pause): Promise<Buffer | undefined> {
    let taken = this.#waiting.length === 0 ? this.#takeAny(bytes) : undefined;
    if (taken !== undefined) return taken;
    await pause((resolve) => {
      const waiter: Waiter = {
        bytes,
        hand: (buffer) => {
          taken = buffer;
          resolve();
        },
      };
      this.#waiting.push(waiter);
      return () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter);
      };
    });
    return taken;
  }

  give(buffer: Buffer): void {
    if (this.#beyond === buffer) this.#beyond = undefined;
    this.#memory.give(buffer);
  }

  /** There may be room now. */
  look(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const buffer = this.#takeAny(first.bytes);
      if (buffer === undefined) return;
      this.#waiting.shift();
      first.hand(buffer);
    }
  }

  #takeAny(bytes: number): Buffer | undefined {
    const buffer = this.#takeRoom(bytes);
    if (buffer !== undefined || this.#beyond !== undefined) return buffer;
    this.#beyond = this.#memory.take(bytes);
    return this.#beyond;
  }

  #takeRoom(bytes: number): Buffer | undefined {
    const { chunkBytes, roomToSend } = this.#memory;
    // Full buffers are used again, others are made anew.
    if (bytes > chunkBytes / 2 && chunkBytes <= roomToSend) return this.#memory.take(chunkBytes);
    return bytes <= roomToSend ? this.#memory.take(bytes) : undefined;
  }
}
