import { JournalError } from "../errors.js";

/** Smaller buffers are parts of shared ones: a buffer of its own costs more than it holds. */
const OWN_BYTES = 4096;
/** Such a part of the memory is kept in full-size buffers for the next appends: allocating them anew costs more than filling them. */
const FREE_PART = 16;

/** The memory of an append service: what its buffers hold, and their bound. */
export class ChunkMemory {
  /** Size of a full buffer. */
  readonly chunkBytes: number;
  /** Bytes of buffers that are held now. */
  used = 0;
  /** Told when a buffer was taken. */
  onTake: (() => void) | undefined;
  /** Told when memory was given back. */
  onGive: (() => void) | undefined;
  readonly #maxBytes: number;
  readonly #maxFree: number;
  readonly #free: Buffer[] = [];

  constructor(chunkBytes: number, maxBytes: number) {
    this.chunkBytes = chunkBytes;
    this.#maxBytes = maxBytes;
    this.#maxFree = Math.floor(maxBytes / FREE_PART / chunkBytes);
  }

  /** How much may be taken. */
  get room(): number {
    return Math.max(0, this.#maxBytes - this.used);
  }

  /** As much of it as may be used to send from. The rest is for those who have waited for room, and write now. */
  get roomToSend(): number {
    return this.room - this.#maxBytes / 4;
  }

  /** @throws JournalError "buffer-full" */
  require(bytes: number): void {
    if (this.used + bytes <= this.#maxBytes) return;
    throw new JournalError(
      "buffer-full",
      `${bytes} bytes do not fit behind the ${this.used} that wait to be appended (at most ${this.#maxBytes}); wait for ready() before an append`,
    );
  }

  /** A buffer whose bytes are whatever they are. */
  take(bytes: number): Buffer {
    this.used += bytes;
    let buffer = bytes === this.chunkBytes ? this.#free.pop() : undefined;
    if (buffer === undefined)
      buffer = bytes < OWN_BYTES ? Buffer.allocUnsafe(bytes) : Buffer.allocUnsafeSlow(bytes);
    this.onTake?.();
    return buffer;
  }

  give(buffer: Buffer): void {
    this.used -= buffer.length;
    if (buffer.length === this.chunkBytes && this.#free.length < this.#maxFree) this.#free.push(buffer);
    this.onGive?.();
  }
}
