import { type BlobStore, type Ref, refOf } from "@x/blob-replica";
import type { FrameChunk } from "../protocol/buffer-api.js";
import { ChunkCutter, type CutChunk } from "./chunk-cutter.js";
import { encodeManifest, type ManifestChunk } from "./manifest.js";
import type { ArchiveEntry } from "./names.js";
import { PutWindow } from "./put-window.js";

const MAX_PUTS = 8;
const MAX_BYTES = 16 * 1024 * 1024;

export interface WriteSegmentOptions {
  readonly name: string;
  readonly lastSequence: number;
  readonly chunkBytes: number;
  readonly salt: Uint8Array;
  /** Told before a blob is put. */
  readonly onBlob: (ref: Ref) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts a segment: its chunks, a few at a time, and when all of them are there the manifest. Ends only when nothing of it runs any more.
 * @throws TopicError "corrupt" when the chunks are not the segment; what the chunks throw; as the store
 */
export async function writeSegment(
  store: BlobStore,
  chunks: AsyncIterable<FrameChunk>,
  options: WriteSegmentOptions,
): Promise<ArchiveEntry> {
  const { name, lastSequence, salt, chunkBytes, onBlob, signal } = options;
  const cutter = new ChunkCutter(name, { salt, lastSequence, chunkBytes });
  const window = new PutWindow({ maxPuts: MAX_PUTS, maxBytes: MAX_BYTES });
  const parts: ManifestChunk[] = [];
  const put = async (blob: Buffer, ref: Ref): Promise<void> => {
    onBlob(ref);
    // Nobody changes the bytes any more: stores may keep them as they are.
    await store.put(blob, { ref, frozen: true, ...(signal && { signal }) });
  };
  const putChunk = async ({ blob, ...part }: CutChunk): Promise<void> => {
    const ref = refOf(blob);
    parts.push({ ...part, ref });
    await window.begin(blob.length, () => put(blob, ref));
  };
  try {
    for await (const { frames } of chunks) {
      signal?.throwIfAborted();
      for (const chunk of cutter.add(frames)) await putChunk(chunk);
    }
    signal?.throwIfAborted();
    const rest = cutter.finish();
    if (rest) await putChunk(rest);
    await window.done();
  } finally {
    await window.settled();
  }
  signal?.throwIfAborted();
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const manifest = encodeManifest({ name, salt, nonce: cutter.nonce, lastSequence, chunks: parts });
  const ref = refOf(manifest);
  await put(manifest, ref);
  return { manifest: ref, lastSequence, bytes };
}
