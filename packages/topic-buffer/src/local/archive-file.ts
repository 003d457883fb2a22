import { crc32 } from "node:zlib";
import type { FileHandle } from "@x/coord";
import { type FrameChunk, frameLinks, readFrame, TopicError } from "@x/topic-gateway/protocol";

/**
 * The file of an archived segment: its message frames, as they were in the log; then points from which a read can start,
 * each u64 last sequence before it and u64 offset; then a footer, little-endian:
 *
 * ```
 *  0 8   "XSEGMENT"
 *  8 u32 version 1
 * 12 u32 number of points
 * 16 u64 bytes of frames
 * 24 u64 last sequence
 * 32 u32 0
 * 36 u32 CRC-32 of the points and of bytes 0 to 36 of the footer
 * ```
 */
const FOOTER_BYTES = 40;
const POINT_BYTES = 16;
const MAGIC = Buffer.from("XSEGMENT", "latin1");
const SPACING_BYTES = 256 * 1024;
const MAX_POINTS_BYTES = 64 * 1024 * 1024;

export interface ArchivePoint {
  readonly sequence: number;
  readonly offset: number;
}

export interface ArchiveFooter {
  readonly points: readonly ArchivePoint[];
  readonly bytes: number;
  readonly lastSequence: number;
}

/** Undefined if the file does not end in a valid footer. */
export async function readFooter(file: FileHandle): Promise<ArchiveFooter | undefined> {
  const size = await file.size();
  if (size < FOOTER_BYTES) return undefined;
  const footer = Buffer.alloc(FOOTER_BYTES);
  await file.read(footer, size - FOOTER_BYTES);
  const count = footer.readUInt32LE(12);
  const bytes = Number(footer.readBigUInt64LE(16));
  if (!footer.subarray(0, 8).equals(MAGIC) || footer.readUInt32LE(8) !== 1) return undefined;
  if (count * POINT_BYTES > MAX_POINTS_BYTES || bytes + count * POINT_BYTES + FOOTER_BYTES !== size)
    return undefined;
  const table = Buffer.alloc(count * POINT_BYTES);
  await file.read(table, bytes);
  if (footer.readUInt32LE(36) !== crc32(footer.subarray(0, 36), crc32(table))) return undefined;
  const points = Array.from({ length: count }, (_, i) => ({
    sequence: Number(table.readBigUInt64LE(i * POINT_BYTES)),
    offset: Number(table.readBigUInt64LE(i * POINT_BYTES + 8)),
  }));
  return { points, bytes, lastSequence: Number(footer.readBigUInt64LE(24)) };
}

/** Checks the frames that come, and writes them and what follows them. @throws TopicError "corrupt" */
export class ArchiveFileWriter {
  readonly #file: FileHandle;
  readonly #name: string;
  readonly #points: ArchivePoint[] = [];
  readonly #walk: FrameWalk = { sequence: 0, nonce: undefined };
  #bytes = 0;

  constructor(file: FileHandle, name: string) {
    this.#file = file;
    this.#name = name;
  }

  async add(chunk: FrameChunk, lastSequence: number): Promise<void> {
    const before = this.#walk.sequence;
    const checked = checkFrames(chunk.frames, this.#walk, lastSequence);
    if (checked.end !== chunk.frames.length) {
      throw new TopicError(
        "corrupt",
        `what is to be archived as ${this.#name} is not frame ${this.#walk.sequence + 1} of ${lastSequence} where that should be`,
      );
    }
    const last = this.#points.at(-1);
    if (!last || this.#bytes >= last.offset + SPACING_BYTES)
      this.#points.push({ sequence: before, offset: this.#bytes });
    await this.#file.write([chunk.frames], this.#bytes);
    this.#bytes += chunk.frames.length;
  }

  /** Durable on return, but not yet under a name that anybody reads. */
  async finish(lastSequence: number): Promise<void> {
    if (this.#walk.sequence !== lastSequence) {
      throw new TopicError(
        "corrupt",
        `what is to be archived as ${this.#name} ends with sequence ${this.#walk.sequence} instead of ${lastSequence}`,
      );
    }
    const table = Buffer.alloc(this.#points.length * POINT_BYTES);
    for (const [i, point] of this.#points.entries()) {
      table.writeBigUInt64LE(BigInt(point.sequence), i * POINT_BYTES);
      table.writeBigUInt64LE(BigInt(point.offset), i * POINT_BYTES + 8);
    }
    const footer = Buffer.alloc(FOOTER_BYTES);
    footer.set(MAGIC, 0);
    footer.writeUInt32LE(1, 8);
    footer.writeUInt32LE(this.#points.length, 12);
    footer.writeBigUInt64LE(BigInt(this.#bytes), 16);
    footer.writeBigUInt64LE(BigInt(lastSequence), 24);
    footer.writeUInt32LE(crc32(footer.subarray(0, 36), crc32(table)), 36);
    await this.#file.write([table, footer], this.#bytes);
    await this.#file.datasync();
  }
}

export interface FrameWalk {
  /** Of the last frame that was right. */
  sequence: number;
  /** Of the log that all the frames must come from; undefined before the first. */
  nonce: Buffer | undefined;
}

/**
 * Walks over valid, dense message frames of one log as far as they go and `lastSequence` allows. `wanted` is where the first
 * frame from `fromSequence` on starts, `end` where the last one ends.
 */
export function checkFrames(
  bytes: Buffer,
  walk: FrameWalk,
  lastSequence: number,
  fromSequence = 1,
): { wanted: number; end: number; stopped: "short" | "invalid" | undefined } {
  let end = 0;
  let wanted = -1;
  while (end < bytes.length && walk.sequence < lastSequence) {
    const frame = readFrame(bytes, end);
    if (typeof frame === "string") return { wanted: wanted < 0 ? end : wanted, end, stopped: frame };
    const { nonce } = frameLinks(bytes, end);
    const connected = frame.kind === "message" && frame.sequence === walk.sequence + 1;
    if (!connected || (walk.nonce && !walk.nonce.equals(nonce)))
      return { wanted: wanted < 0 ? end : wanted, end, stopped: "invalid" };
    walk.nonce ??= Buffer.from(nonce);
    walk.sequence += 1;
    if (wanted < 0 && walk.sequence >= fromSequence) wanted = end;
    end = frame.next;
  }
  return { wanted: wanted < 0 ? end : wanted, end, stopped: undefined };
}
