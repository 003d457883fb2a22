/** Where messages are in memory, and how much of them a reader gets at once. */
import type { FrameChunk } from "@x/topic-gateway/protocol";

/** How much a reader gets at once when there is more. A single message may be larger. */
export const CHUNK_BYTES: number = 256 * 1024;

/** Messages that became visible together. */
export interface HotChunk {
  readonly firstSequence: number;
  readonly frames: Buffer;
  /** Where each frame starts. */
  readonly offsets: readonly number[];
  readonly stamp: number;
}

/**
 * Messages from a sequence on, or undefined if that one is not in `chunks`, which are dense from `head` on: many small groups in one
 * piece, a part of one that is too large. At most `CHUNK_BYTES`, or one message.
 */
export function readChunks(
  chunks: readonly (HotChunk | undefined)[],
  head: number,
  sequence: number,
): FrameChunk | undefined {
  const at = indexOf(chunks, head, sequence);
  const chunk = chunks[at];
  if (chunk === undefined) return undefined;
  const skip = sequence - chunk.firstSequence;
  const start = chunk.offsets[skip] ?? 0;
  if (chunk.frames.length - start > CHUNK_BYTES) {
    const end = lastWithin(chunk.offsets, skip + 1, start + CHUNK_BYTES);
    return {
      frames: chunk.frames.subarray(start, chunk.offsets[end] ?? chunk.frames.length),
      firstSequence: sequence,
      count: end - skip,
    };
  }
  // A single group is not copied.
  const first = chunk.frames.subarray(start);
  const parts = [first];
  let bytes = first.length;
  let count = chunk.offsets.length - skip;
  for (let i = at + 1; i < chunks.length; i++) {
    const { frames, offsets } = chunks[i] as HotChunk;
    if (bytes + frames.length > CHUNK_BYTES) break;
    parts.push(frames);
    bytes += frames.length;
    count += offsets.length;
  }
  return {
    frames: parts.length === 1 ? first : Buffer.concat(parts, bytes),
    firstSequence: sequence,
    count,
  };
}

/** The index of the chunk that holds a sequence, or -1. */
function indexOf(chunks: readonly (HotChunk | undefined)[], head: number, sequence: number): number {
  let low = head;
  let high = chunks.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const { firstSequence, offsets } = chunks[middle] as HotChunk;
    if (sequence < firstSequence) high = middle - 1;
    else if (sequence >= firstSequence + offsets.length) low = middle + 1;
    else return middle;
  }
  return -1;
}

/** The last index from `from` on whose offset is at most `limit`, or `from`: also when there is none, behind the last. */
function lastWithin(offsets: readonly number[], from: number, limit: number): number {
  let low = from;
  let high = offsets.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((offsets[middle] as number) <= limit) low = middle;
    else high = middle - 1;
  }
  return low;
}
