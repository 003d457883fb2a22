import type { Appender } from "./appender.js";
import type { Chunk } from "./chunk.js";
import type { ChunkMemory } from "./chunk-memory.js";
import type { Pause, SendBuffers } from "./send-buffers.js";

export interface SendContentDeps {
  readonly memory: ChunkMemory;
  readonly buffers: SendBuffers;
  readonly signal: AbortSignal | undefined;
}

/** Large chunks go as they are. Small ones that follow each other are joined when there is memory for that. Those in files are read. */
export async function sendContent(
  chunks: readonly Chunk[],
  appender: Appender,
  { memory, buffers, signal }: SendContentDeps,
  pause: Pause,
): Promise<void> {
  const { chunkBytes } = memory;
  try {
    for (let from = 0; from < chunks.length; ) {
      // While the broker takes nothing, what comes next may go to a file, and needs no buffer to be sent from.
      await appender.ready();
      const chunk = chunks[from] as Chunk;
      let end = endOfRun(chunks, from, chunkBytes);
      let buffer = end - from > 1 ? buffers.tryTake(bytesOf(chunks, from, end)) : undefined;
      if (buffer === undefined && chunk.buffer !== undefined) {
        // Until it is sent, its memory stays.
        chunk.pinned = true;
        try {
          await appender.write(chunk.buffer.subarray(0, chunk.used));
        } finally {
          chunk.pinned = false;
          // It may have been spilled meanwhile.
          chunk.dropMemory();
        }
        from++;
        continue;
      }
      if (buffer === undefined) {
        end = from + 1;
        buffer = await buffers.take(chunk.used, pause);
        if (buffer === undefined) throw signal?.reason;
      }
      try {
        await appender.write(await fill(buffer, chunks, from, end));
      } finally {
        buffers.give(buffer);
      }
      from = end;
    }
  } finally {
    // What was in use may be moved to a file now, and perhaps nothing else comes that would look for it.
    memory.onTake?.();
  }
}

/** Where a run of small chunks ends that are worth one message; a large chunk is one of its own. */
function endOfRun(chunks: readonly Chunk[], from: number, chunkBytes: number): number {
  let bytes = (chunks[from] as Chunk).used;
  let end = from + 1;
  if (bytes >= chunkBytes / 4) return end;
  for (; end < chunks.length; end++) {
    const { used } = chunks[end] as Chunk;
    if (used >= chunkBytes / 4 || bytes + used > chunkBytes) break;
    bytes += used;
  }
  return end;
}

function bytesOf(chunks: readonly Chunk[], from: number, end: number): number {
  let bytes = 0;
  for (let index = from; index < end; index++) bytes += (chunks[index] as Chunk).used;
  return bytes;
}

/** Gives the part of `into` that was filled. */
async function fill(into: Buffer, chunks: readonly Chunk[], from: number, end: number): Promise<Buffer> {
  let at = 0;
  for (let index = from; index < end; index++) {
    const { buffer, place, used } = chunks[index] as Chunk;
    const part = into.subarray(at, at + used);
    at += used;
    if (buffer !== undefined) part.set(buffer.subarray(0, used));
    else await place?.segment.read(part, place.position);
  }
  return into.subarray(0, at);
}
