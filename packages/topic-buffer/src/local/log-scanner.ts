import type { FileHandle } from "@x/coord";
import {
  continueChain,
  type FrameChain,
  type FrameChunk,
  findProofOfDamage,
  MAX_FRAME_BYTES,
  readFrame,
} from "@x/topic-gateway/protocol";

/** A place between two frames, with what the next frame must connect to. */
export interface LogPoint {
  readonly offset: number;
  readonly checksum: number;
  /** The last sequence before it. */
  readonly sequence: number;
  /** The highest id time before it. */
  readonly time: bigint;
}

const FIRST_READ_BYTES = 64 * 1024;
const MAX_READ_BYTES = 1024 * 1024;

/** Walks along the valid, connected frames of a log. */
export class LogScanner {
  readonly #file: FileHandle;
  readonly #chain: FrameChain;
  readonly #onPoint: ((point: LogPoint) => void) | undefined;
  #offset: number;
  #group = -1;
  #groupOffset: number;
  #torn = false;

  constructor(
    file: FileHandle,
    options: {
      readonly nonce: Uint8Array;
      readonly from: LogPoint;
      /** Called with points on the way, ascending. */
      readonly onPoint?: (point: LogPoint) => void;
    },
  ) {
    const { nonce, from } = options;
    this.#file = file;
    this.#chain = { nonce, checksum: from.checksum, lastSequence: from.sequence, lastTime: from.time };
    this.#onPoint = options.onPoint;
    this.#offset = from.offset;
    this.#groupOffset = from.offset;
  }

  /** Behind the last valid frame so far. */
  get point(): LogPoint {
    const { checksum, lastSequence, lastTime } = this.#chain;
    return { offset: this.#offset, checksum, sequence: lastSequence, time: lastTime };
  }

  /** Where the write that the last frame came with starts: what is before was durable before that write. */
  get groupOffset(): number {
    return this.#groupOffset;
  }

  /** After the end of `chunks`: whether something other than prepared room follows. */
  get torn(): boolean {
    return this.#torn;
  }

  /**
   * Message frames from `fromSequence` through `lastSequence`, at most 1 MiB or one frame at a time. Ends early where the
   * valid frames end.
   */
  async *chunks(options: {
    readonly fromSequence: number;
    readonly lastSequence: number;
    readonly signal?: AbortSignal | undefined;
  }): AsyncGenerator<FrameChunk> {
    const { fromSequence, lastSequence, signal } = options;
    let wanted = FIRST_READ_BYTES;
    while (this.#chain.lastSequence < lastSequence) {
      signal?.throwIfAborted();
      // Not pooled and not used again: the chunks are views of it.
      const space = Buffer.allocUnsafeSlow(wanted);
      const bytes = space.subarray(0, await this.#file.read(space, this.#offset));
      const { chunks, read, stopped } = this.#walk(bytes, fromSequence, lastSequence);
      const atEnd = bytes.length < wanted;
      this.#offset += read;
      this.#onPoint?.(this.point);
      yield* chunks;
      if (stopped === "invalid" || atEnd) {
        this.#torn = read + 4 <= bytes.length ? bytes.readUInt32LE(read) !== 0 : read < bytes.length;
        return;
      }
      // A frame that is larger than a read starts at its first byte: its size is known, and was checked.
      wanted =
        stopped === "short" && read === 0 ? bytes.readUInt32LE(0) : Math.min(2 * wanted, MAX_READ_BYTES);
    }
  }

  #walk(
    bytes: Buffer,
    fromSequence: number,
    lastSequence: number,
  ): { chunks: FrameChunk[]; read: number; stopped: "short" | "invalid" | undefined } {
    const chunks: FrameChunk[] = [];
    let at = 0;
    let start = 0;
    let count = 0;
    const cut = (): void => {
      if (count > 0) {
        const firstSequence = this.#chain.lastSequence - count + 1;
        chunks.push({ frames: bytes.subarray(start, at), firstSequence, count });
      }
      count = 0;
    };
    let stopped: "short" | "invalid" | undefined;
    while (at < bytes.length && this.#chain.lastSequence < lastSequence) {
      const frame = readFrame(bytes, at);
      if (typeof frame === "string") {
        stopped = frame;
        break;
      }
      // Before the chain moves: a chunk of messages ends where another kind of frame stands.
      if (frame.kind !== "message") cut();
      if (!continueChain(this.#chain, bytes, at, frame)) {
        stopped = "invalid";
        break;
      }
      if (frame.group !== this.#group) {
        this.#group = frame.group;
        this.#groupOffset = this.#offset + at;
      }
      if (frame.kind === "message" && frame.sequence >= fromSequence) {
        if (count === 0) start = at;
        count += 1;
      }
      at = frame.next;
    }
    cut();
    return { chunks, read: at, stopped };
  }
}

/**
 * The offset of a frame behind `from` which proves that what should be at `from` had been durable, or undefined if all that
 * follows can be the rest of a torn write.
 */
export async function findDamage(
  file: FileHandle,
  options: { readonly nonce: Uint8Array; readonly from: LogPoint; readonly signal?: AbortSignal | undefined },
): Promise<number | undefined> {
  const { nonce, from, signal } = options;
  const size = await file.size();
  // Windows overlap by the largest frame, so that each frame is whole in one of them.
  for (let base = from.offset; base < size; base += MAX_FRAME_BYTES) {
    signal?.throwIfAborted();
    const space = Buffer.allocUnsafeSlow(Math.min(2 * MAX_FRAME_BYTES, size - base));
    const bytes = space.subarray(0, await file.read(space, base));
    const found = findProofOfDamage(bytes, 0, nonce, from.sequence + 1);
    if (found !== undefined) return base + found;
  }
  return undefined;
}
