import type { BlobStore } from "@x/blob-replica";
import { TopicError } from "../errors.js";
import type { FrameChunk } from "../protocol/buffer-api.js";
import { isLost } from "./errors.js";
import { type FrameWalk, stepOver } from "./frame-walk.js";
import { framesOfChunk, type Manifest, type ManifestChunk } from "./manifest.js";

const MAX_YIELD_BYTES = 1024 * 1024;
/** The next blob is fetched while one is read, unless it is larger. */
const MAX_AHEAD_BYTES = 4 * 1024 * 1024;

export interface ReadChunksOptions {
  readonly fromSequence: number;
  readonly lastSequence: number;
  readonly signal: AbortSignal | undefined;
}

/** The frames from one sequence to another, checked, in chunks of at most 1 MiB or one frame. @throws TopicError "corrupt", BlobError */
export async function* readChunks(
  store: BlobStore,
  manifest: Manifest,
  options: ReadChunksOptions,
): AsyncGenerator<FrameChunk, void, undefined> {
  const { fromSequence, lastSequence, signal } = options;
  if (fromSequence > lastSequence) return;
  const { chunks } = manifest;
  // Whoever leaves, for whatever reason, waits for nothing that was fetched ahead.
  const leaving = new AbortController();
  // Not AbortSignal.any: in Node 20 a signal that lives long never forgets what was derived from it.
  const onAbort = () => leaving.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();
  const fetch = (chunk: ManifestChunk): Promise<Uint8Array> => {
    const fetching = store.get(chunk.ref, { signal: leaving.signal });
    fetching.catch(() => {});
    return fetching;
  };
  let ahead: Promise<Uint8Array> | undefined;
  try {
    for (let i = indexOf(chunks, fromSequence); i < chunks.length; i++) {
      const chunk = chunks[i] as ManifestChunk; // i is inside
      if (chunk.firstSequence > lastSequence) return;
      const fetched = ahead ?? fetch(chunk);
      const next = chunks[i + 1];
      const wantsNext =
        next !== undefined && next.firstSequence <= lastSequence && next.bytes <= MAX_AHEAD_BYTES;
      ahead = wantsNext ? fetch(next) : undefined;
      const blob = await present(manifest, chunk, fetched);
      signal?.throwIfAborted();
      yield* framesOf(manifest, chunk, { blob, fromSequence, lastSequence });
      signal?.throwIfAborted();
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    leaving.abort();
    await ahead?.catch(() => {});
  }
}

async function present(
  manifest: Manifest,
  chunk: ManifestChunk,
  fetched: Promise<Uint8Array>,
): Promise<Uint8Array> {
  try {
    return await fetched;
  } catch (error) {
    if (!isLost(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw damaged(manifest, chunk.firstSequence, `is lost: ${why}`, error);
  }
}

function* framesOf(
  manifest: Manifest,
  chunk: ManifestChunk,
  wanted: { readonly blob: Uint8Array; readonly fromSequence: number; readonly lastSequence: number },
): Generator<FrameChunk, void, undefined> {
  const { blob, fromSequence, lastSequence } = wanted;
  const frames = framesOfChunk(blob, chunk, manifest.salt);
  if (!frames) throw damaged(manifest, chunk.firstSequence, "is not what it should be");
  const end = Math.min(lastSequence, chunk.firstSequence + chunk.count - 1);
  const walk: FrameWalk = { sequence: chunk.firstSequence - 1, nonce: manifest.nonce };
  let from = 0;
  let firstSequence = Math.max(fromSequence, chunk.firstSequence);
  const take = (to: number, last: number): FrameChunk => {
    const count = last - firstSequence + 1;
    const taken = { frames: frames.subarray(from, to), firstSequence, count };
    from = to;
    firstSequence = last + 1;
    return taken;
  };
  let at = 0;
  while (walk.sequence < end) {
    const next = stepOver(walk, frames, at);
    if (next === undefined) throw damaged(manifest, walk.sequence + 1, `is damaged at byte ${at}`);
    if (walk.sequence < firstSequence) from = next;
    else if (next - from > MAX_YIELD_BYTES && at > from) yield take(at, walk.sequence - 1);
    at = next;
  }
  if (end === chunk.firstSequence + chunk.count - 1 && at !== frames.length) {
    throw damaged(manifest, end + 1, `has more than ${chunk.count} messages`);
  }
  if (walk.sequence >= firstSequence) yield take(at, walk.sequence);
}

function damaged({ name }: Manifest, sequence: number, what: string, cause?: unknown): TopicError {
  return new TopicError(
    "corrupt",
    `of the archived segment ${name} the blob where sequence ${sequence} should be ${what}`,
    cause === undefined ? {} : { cause },
  );
}

/** Of the chunk that has the sequence. */
function indexOf(chunks: readonly ManifestChunk[], sequence: number): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const { firstSequence, count } = chunks[middle] as ManifestChunk; // inside
    if (firstSequence + count <= sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}
