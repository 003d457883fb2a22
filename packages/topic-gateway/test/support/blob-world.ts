/** Archives in blob stores for tests: segments to put, stores that fail or wait, and records that say what is sealed. */
import type { BlobStore, Ref } from "@x/blob-replica";
import type { Coord } from "@x/coord";
import { parseArchiveName } from "../../src/blob/names.js";
import {
  encodeSegment,
  type FrameChunk,
  type SegmentArchive,
  type SegmentState,
  segmentKey,
  TopicError,
  type TopicErrorCode,
} from "../../src/protocol.js";
import { LogDraft } from "../../src/testing/log-draft.js";

export const NAME = "orders/3/139000000000000000_0-63";

/** `number` makes the log another one. */
export function segment(messages: number | readonly number[], number = 1): LogDraft {
  const draft = new LogDraft("0123456789abcdef", number);
  draft.next(messages);
  return draft;
}

export function put(archive: SegmentArchive, name: string, draft: LogDraft): Promise<void> {
  return archive.put(name, draft.chunks(), { lastSequence: draft.lastSequence });
}

export async function readAll(archive: SegmentArchive, name: string, draft: LogDraft): Promise<void> {
  await draft.expect(archive.read(name, { lastSequence: draft.lastSequence }));
}

export async function drain(chunks: AsyncIterable<FrameChunk>): Promise<number> {
  let count = 0;
  for await (const chunk of chunks) count += chunk.count;
  return count;
}

export async function codeOf(work: Promise<unknown>): Promise<TopicErrorCode | "none"> {
  try {
    await work;
    return "none";
  } catch (error) {
    if (error instanceof TopicError) return error.code;
    throw error;
  }
}

export async function refsOf(store: BlobStore): Promise<Ref[]> {
  const refs: Ref[] = [];
  for await (const ref of store.listRefs()) refs.push(ref);
  return refs;
}

/** Records a segment, as its buffer does. */
export async function record(
  coord: Coord,
  name: string,
  what: { readonly lastSequence: number; readonly state?: SegmentState; readonly incarnation?: bigint },
): Promise<void> {
  const { segment: id, incarnation } = parseArchiveName(name);
  const { lastSequence, state = "sealed" } = what;
  const value = encodeSegment(id, {
    incarnation: what.incarnation ?? incarnation,
    layout: 1n,
    epoch: 2n,
    log: "log",
    predecessors: [],
    state,
    ...(state !== "open" && { sealed: { end: 100, lastSequence, lastTime: 5n } }),
  });
  await coord.txn({ then: [{ type: "put", key: segmentKey(id), value }] });
}

/** Whoever archives through it has recorded the segment as sealed before. */
export function recording(coord: Coord, archive: SegmentArchive): SegmentArchive {
  return {
    async put(name, chunks, options) {
      await record(coord, name, options);
      await archive.put(name, chunks, options);
    },
    read: (name, options) => archive.read(name, options),
    drop: (name) => archive.drop(name),
  };
}

/** A store whose puts and deletes go through `hook` first, which may fail or wait. */
export function hooked(
  store: BlobStore,
  hook: (call: "put" | "delete" | "get", ref: Ref | undefined) => Promise<void> | void,
): BlobStore {
  return {
    async get(ref, options) {
      await hook("get", ref);
      return await store.get(ref, options);
    },
    async put(blob, options) {
      await hook("put", options?.ref);
      return await store.put(blob, options);
    },
    listRefs: (after, options) => store.listRefs(after, options),
    async delete(ref, options) {
      await hook("delete", ref);
      return (await store.delete?.(ref, options)) ?? false;
    },
  };
}

/** The same numbers for the same seed: Mulberry32. */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
