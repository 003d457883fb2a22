import { Chunk, type ChunkOwner } from "./chunk.js";
import type { ChunkMemory } from "./chunk-memory.js";

/** The first buffer of a list: many journals with little to say must not take much. */
const FIRST_BYTES = 512;
const GROWTH = 4;
/** Up to here bytes are copied behind others, above their chunks are handed over. */
const COPY_BYTES = 16 * 1024;
/** An encoded string takes at most so many bytes per UTF-16 unit. */
const UTF8_BYTES = 3;

/** Hears of each chunk that a list makes. */
export type ChunkObserver = (chunk: Chunk) => void;

/** A growing sequence of bytes that can be cut back. */
export class ChunkList implements ChunkOwner {
  chunks: Chunk[] = [];
  length = 0;
  tail: Chunk | undefined;
  readonly #memory: ChunkMemory;
  readonly #observe: ChunkObserver | undefined;
  #nextBytes: number;

  /** @param expectedBytes a guess, which saves small chunks at the beginning */
  constructor(memory: ChunkMemory, observe: ChunkObserver | undefined, expectedBytes = 0) {
    this.#memory = memory;
    this.#observe = observe;
    const { chunkBytes } = memory;
    this.#nextBytes = expectedBytes > chunkBytes / 2 ? chunkBytes : Math.max(FIRST_BYTES, expectedBytes);
  }

  /** @throws JournalError "buffer-full", and then nothing was written */
  write(content: Uint8Array): void {
    const { tail } = this;
    const size = content.length;
    if (tail !== undefined) {
      const buffer = tail.buffer as Buffer;
      if (size <= buffer.length - tail.used) {
        buffer.set(content, tail.used);
        tail.used += size;
        this.length += size;
        return;
      }
    }
    this.#memory.require(size);
    this.#spread(content);
  }

  /** Writes it as UTF-8. @throws JournalError "buffer-full", and then nothing was written */
  writeText(content: string): void {
    const { tail } = this;
    if (tail !== undefined) {
      const buffer = tail.buffer as Buffer;
      if (content.length * UTF8_BYTES <= buffer.length - tail.used) {
        const size = buffer.write(content, tail.used);
        tail.used += size;
        this.length += size;
        return;
      }
    }
    this.write(Buffer.from(content));
  }

  /** Cuts it back to its first `length` bytes. */
  truncate(length: number): void {
    while (this.length > length) {
      const last = this.chunks.at(-1) as Chunk;
      const start = this.length - last.used;
      if (start < length) {
        last.used = length - start;
        this.length = length;
        return;
      }
      this.chunks.pop();
      this.length = start;
      if (this.tail === last) this.tail = undefined;
      last.free();
    }
  }

  /** Cuts it back and gives what was behind as a list of its own. */
  splitOff(length: number): ChunkList {
    const rest = new ChunkList(this.#memory, this.#observe);
    rest.#nextBytes = this.#nextBytes;
    const moved: Chunk[] = [];
    while (this.length > length) {
      const last = this.chunks.at(-1) as Chunk;
      const start = this.length - last.used;
      if (start < length) {
        const part = last.splitAt(length - start, rest);
        if (part.buffer !== undefined) this.#observe?.(part);
        if (this.tail === last) {
          this.tail = undefined;
          rest.tail = part;
        }
        moved.push(part);
        this.length = length;
        break;
      }
      this.chunks.pop();
      this.length = start;
      last.owner = rest;
      if (this.tail === last) {
        this.tail = undefined;
        rest.tail = last;
      }
      moved.push(last);
    }
    rest.chunks = moved.reverse();
    for (const chunk of moved) rest.length += chunk.used;
    return rest;
  }

  /** Takes over the bytes of another list, which is empty then. Not refused when memory is full: they are there already. */
  append(other: ChunkList): void {
    if (
      other.length <= COPY_BYTES &&
      // A buffer that is shared is not given back when its copy is made.
      other.length <= this.#memory.room &&
      other.chunks.every(({ buffer }) => buffer !== undefined)
    ) {
      for (const { buffer, used } of other.chunks) this.#spread((buffer as Buffer).subarray(0, used));
      other.clear();
      return;
    }
    for (const chunk of other.chunks) {
      chunk.owner = this;
      this.chunks.push(chunk);
    }
    this.length += other.length;
    this.tail = other.tail;
    other.chunks = [];
    other.length = 0;
    other.tail = undefined;
  }

  clear(): void {
    const { chunks } = this;
    this.chunks = [];
    this.length = 0;
    this.tail = undefined;
    for (const chunk of chunks) chunk.free();
  }

  #spread(content: Uint8Array): void {
    let at = 0;
    while (at < content.length) {
      const { tail } = this;
      const room = tail === undefined ? 0 : (tail.buffer as Buffer).length - tail.used;
      if (tail === undefined || room === 0) {
        this.#grow(content.length - at);
        continue;
      }
      const part = at === 0 && content.length <= room ? content : content.subarray(at, at + room);
      (tail.buffer as Buffer).set(part, tail.used);
      tail.used += part.length;
      this.length += part.length;
      at += part.length;
    }
  }

  #grow(wanted: number): void {
    const { chunkBytes } = this.#memory;
    let size = Math.min(this.#nextBytes, chunkBytes);
    while (size < wanted && size < chunkBytes) size = Math.min(size * GROWTH, chunkBytes);
    this.#nextBytes = size * GROWTH;
    // Of the last memory there is, no more than what is left: somebody has looked that the content fits.
    size = Math.max(Math.min(wanted, size), Math.min(size, this.#memory.room));
    const chunk = new Chunk(this.#memory, this, this.#memory.take(size));
    this.chunks.push(chunk);
    this.tail = chunk;
    this.#observe?.(chunk);
  }
}
