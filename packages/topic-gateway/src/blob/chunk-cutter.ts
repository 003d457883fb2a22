import { TopicError } from "../errors.js";
import { type FrameWalk, noNonce, stepOver } from "./frame-walk.js";
import { CHUNK_HEADER_BYTES, writeChunkHeader } from "./manifest.js";

/** So many chunks of a size, then it doubles, so that the manifest of a large segment stays small. */
const CHUNKS_OF_A_SIZE = 4096;
const MAX_CHUNK_BYTES = 64 * 1024 * 1024;

/** A blob with its header, and what is in it. */
export interface CutChunk {
  readonly blob: Buffer;
  readonly firstSequence: number;
  readonly count: number;
  /** Of its frames. */
  readonly bytes: number;
}

/** Checks the frames that come, and cuts them into chunks between frames. Keeps nothing of what it is given: it is copied at once. */
export class ChunkCutter {
  readonly #name: string;
  readonly #salt: Uint8Array;
  readonly #lastSequence: number;
  readonly #walk: FrameWalk = { sequence: 0, nonce: undefined };
  #chunkBytes: number;
  #cut = 0;
  #blob: Buffer | undefined;
  #length = 0;
  #firstSequence = 1;

  constructor(
    name: string,
    options: { readonly salt: Uint8Array; readonly lastSequence: number; readonly chunkBytes: number },
  ) {
    this.#name = name;
    this.#salt = options.salt;
    this.#lastSequence = options.lastSequence;
    this.#chunkBytes = options.chunkBytes;
  }

  get nonce(): Uint8Array {
    return this.#walk.nonce ?? noNonce;
  }

  /** Yields the chunks that became full. @throws TopicError "corrupt" */
  *add(frames: Buffer): Generator<CutChunk, void, undefined> {
    for (let at = 0; at < frames.length; ) {
      const next = this.#walk.sequence < this.#lastSequence ? stepOver(this.#walk, frames, at) : undefined;
      if (next === undefined) {
        throw new TopicError(
          "corrupt",
          `what is to be archived as ${this.#name} is not frame ${this.#walk.sequence + 1} of ${this.#lastSequence} where that should be`,
        );
      }
      if (this.#blob && this.#length + (next - at) > this.#blob.length) {
        yield this.#take(this.#walk.sequence - 1);
      }
      const blob = this.#room(next - at);
      frames.copy(blob, this.#length, at, next);
      this.#length += next - at;
      at = next;
    }
  }

  /** The last chunk, if there is one. @throws TopicError "corrupt" when it is not the end of the segment */
  finish(): CutChunk | undefined {
    if (this.#walk.sequence !== this.#lastSequence) {
      throw new TopicError(
        "corrupt",
        `what is to be archived as ${this.#name} ends with sequence ${this.#walk.sequence} instead of ${this.#lastSequence}`,
      );
    }
    return this.#blob && this.#take(this.#walk.sequence);
  }

  #room(frameBytes: number): Buffer {
    if (this.#blob === undefined) {
      const size = CHUNK_HEADER_BYTES + Math.max(this.#chunkBytes, frameBytes);
      this.#blob = Buffer.allocUnsafeSlow(size);
      writeChunkHeader(this.#blob, this.#salt);
      this.#length = CHUNK_HEADER_BYTES;
    }
    return this.#blob;
  }

  #take(lastSequence: number): CutChunk {
    const blob = this.#blob ?? Buffer.alloc(0);
    const chunk = {
      blob: blob.subarray(0, this.#length),
      firstSequence: this.#firstSequence,
      count: lastSequence - this.#firstSequence + 1,
      bytes: this.#length - CHUNK_HEADER_BYTES,
    };
    this.#firstSequence = lastSequence + 1;
    this.#blob = undefined;
    this.#cut += 1;
    if (this.#cut % CHUNKS_OF_A_SIZE === 0) {
      this.#chunkBytes = Math.max(this.#chunkBytes, Math.min(MAX_CHUNK_BYTES, this.#chunkBytes * 2));
    }
    return chunk;
  }
}
