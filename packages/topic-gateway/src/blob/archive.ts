import { type BlobStore, type CandidateStore, has, refOf } from "@x/blob-replica";
import { TopicError } from "../errors.js";
import type { FrameChunk } from "../protocol/buffer-api.js";
import type { Clock, Random } from "../protocol/runtime.js";
import type { SegmentArchive } from "../protocol/segment-archive.js";
import type { ReadLogOptions } from "../protocol/segment-log.js";
import { systemRuntime } from "../system.js";
import { Collector, type CollectReport, type PutUnderWay } from "./collector.js";
import { asTopicError, isLost } from "./errors.js";
import { decodeManifest, type Manifest, SALT_BYTES } from "./manifest.js";
import { type ArchiveEntry, type ArchiveNames, isSameEntry, parseArchiveName } from "./names.js";
import { PutWindow } from "./put-window.js";
import { readChunks } from "./segment-reading.js";
import { writeSegment } from "./segment-writer.js";

export interface BlobArchiveOptions {
  /**
   * Where the blobs are, and nothing else: `collect` deletes everything that no name leads to. Names and blobs belong together, so a store whose names were lost
   * must not be collected. It stays the caller's: the archive does not close it.
   */
  readonly store: BlobStore;
  /** Which manifest a segment has: `coordNames` in a cluster. */
  readonly names: ArchiveNames;
  /** Frames are put in blobs of about this size; a larger frame has one of its own. After each 4,096 blobs of a segment it doubles, up to 64 MiB. Default 1 MiB, at least 4 KiB. */
  readonly chunkBytes?: number;
  /** Where `collect` notes what the next one may delete. For one archive at a time. Default: in memory. */
  readonly candidates?: CandidateStore;
  /** Salts. The system's by default. */
  readonly random?: Pick<Random, "bytes">;
  /** The system's by default. */
  readonly clock?: Clock;
}

export interface BlobArchive extends SegmentArchive {
  /**
   * Deletes blobs that no name leads to any more: of segments that were dropped, and of puts that failed. What is found by one call is deleted by
   * the next of the same archive (or of a later one with the same `candidates`), if it is garbage still. May run at any time: puts of this archive go on,
   * a put of another process that is under way when it begins fails as "unavailable", and works when it is tried again. Nothing is deleted when a
   * manifest that has a name is missing or damaged.
   * @throws TopicError "corrupt", "unavailable" also when a call is under way, "invalid-argument" when the store cannot delete; `signal.reason`
   */
  collect(options?: { readonly signal?: AbortSignal }): Promise<CollectReport>;
}

const DEFAULT_CHUNK_BYTES = 1024 * 1024;
const MIN_CHUNK_BYTES = 4 * 1024;
const MAX_CHUNK_BYTES = 64 * 1024 * 1024;
const LOOKS_AT_ONCE = 16;

/**
 * An archive of sealed segments in a blob store. A segment is there when its name is: chunks first, then the manifest, then the name, so a put
 * that dies leaves garbage, and never part of a segment. Any number of processes may have the same store and names.
 * @throws TopicError "invalid-argument"
 */
export function openBlobArchive(options: BlobArchiveOptions): BlobArchive {
  const { chunkBytes = DEFAULT_CHUNK_BYTES } = options;
  if (!Number.isInteger(chunkBytes) || chunkBytes < MIN_CHUNK_BYTES || chunkBytes > MAX_CHUNK_BYTES) {
    throw new TopicError(
      "invalid-argument",
      `chunkBytes is an integer from ${MIN_CHUNK_BYTES} to ${MAX_CHUNK_BYTES}, not ${chunkBytes}`,
    );
  }
  return new StoredArchive(options, chunkBytes);
}

class StoredArchive implements BlobArchive {
  readonly #names: ArchiveNames;
  readonly #collector: Collector;
  readonly #chunkBytes: number;
  readonly #random: Pick<Random, "bytes">;

  constructor(options: BlobArchiveOptions, chunkBytes: number) {
    const { store, names, clock, candidates, random = systemRuntime.random } = options;
    this.#names = names;
    this.#collector = new Collector({ store, names, clock, candidates });
    this.#chunkBytes = chunkBytes;
    this.#random = random;
  }

  async put(
    name: string,
    chunks: AsyncIterable<FrameChunk>,
    options: { readonly lastSequence: number; readonly signal?: AbortSignal },
  ): Promise<void> {
    const { lastSequence, signal } = checkOptions(name, options);
    signal?.throwIfAborted();
    try {
      const put = await this.#collector.beginPut(signal);
      try {
        const there = await this.#find(name, signal);
        const isThere = there?.lastSequence === lastSequence && (await this.#isWhole(name, there, signal));
        if (!isThere) await this.#write(name, { chunks, lastSequence, put, replaces: there, signal });
      } finally {
        this.#collector.endPut(put);
      }
    } catch (error) {
      throw asTopicError(error, `archiving ${name}`, { signal });
    }
  }

  async #write(
    name: string,
    work: {
      readonly chunks: AsyncIterable<FrameChunk>;
      readonly lastSequence: number;
      readonly put: PutUnderWay;
      readonly replaces: ArchiveEntry | undefined;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<void> {
    const { chunks, lastSequence, put, replaces, signal } = work;
    const entry = await writeSegment(this.#collector.store, chunks, {
      name,
      lastSequence,
      chunkBytes: this.#chunkBytes,
      salt: Buffer.from(this.#random.bytes(SALT_BYTES)),
      onBlob: (ref) => put.refs.add(ref),
      signal,
    });
    for (;;) {
      const { generation } = put;
      const options = { generation, ...(replaces && { replaces }), ...signalOf(signal) };
      if (await this.#names.put(name, entry, options)) return;
      if (!(await this.#collector.mayGoOn(put, generation))) {
        throw new TopicError(
          "unavailable",
          `${name} was not archived: somebody began to collect garbage meanwhile, which may be what was put of it; trying again helps`,
        );
      }
    }
  }

  async *read(name: string, options: ReadLogOptions): AsyncGenerator<FrameChunk, void, undefined> {
    const { lastSequence, signal, ...rest } = checkOptions(name, options);
    let { fromSequence } = rest;
    try {
      signal?.throwIfAborted();
      let entry = await this.#names.get(name, signalOf(signal));
      for (;;) {
        if (!entry) throw new TopicError("log-missing", `${name} is not in the archive`);
        if (entry.lastSequence < lastSequence) {
          throw new TopicError(
            "corrupt",
            `the archived segment ${name} ends with sequence ${entry.lastSequence}; ${lastSequence} was recorded`,
          );
        }
        try {
          const manifest = await this.#manifest(name, entry, signal);
          const { store } = this.#collector;
          for await (const chunk of readChunks(store, manifest, { fromSequence, lastSequence, signal })) {
            fromSequence = chunk.firstSequence + chunk.count;
            yield chunk;
          }
          return;
        } catch (error) {
          if (!isDamage(error)) throw error;
          // It may have been dropped since, or been archived anew because it was damaged.
          const now = await this.#names.get(name, signalOf(signal));
          if (now && isSameEntry(now, entry)) throw error;
          entry = now;
        }
      }
    } catch (error) {
      throw asTopicError(error, `reading ${name} from the archive`, { signal });
    }
  }

  async drop(name: string): Promise<void> {
    try {
      await this.#names.delete(name);
    } catch (error) {
      throw asTopicError(error, `dropping ${name} from the archive`);
    }
  }

  async collect({ signal }: { readonly signal?: AbortSignal } = {}): Promise<CollectReport> {
    signal?.throwIfAborted();
    try {
      return await this.#collector.collect(signal);
    } catch (error) {
      throw asTopicError(error, "collecting the garbage of the archive", { signal });
    }
  }

  /** A record that cannot be read is as good as none for whoever writes another. */
  async #find(name: string, signal: AbortSignal | undefined): Promise<ArchiveEntry | undefined> {
    try {
      return await this.#names.get(name, signalOf(signal));
    } catch (error) {
      if (error instanceof TopicError && error.code === "corrupt") return undefined;
      throw error;
    }
  }

  /** @throws TopicError "corrupt", BlobError */
  async #manifest(name: string, entry: ArchiveEntry, signal: AbortSignal | undefined): Promise<Manifest> {
    const blob = await this.#collector.store.get(entry.manifest, signalOf(signal));
    const manifest = refOf(blob) === entry.manifest ? decodeManifest(blob) : undefined;
    if (manifest?.name !== name || manifest.lastSequence !== entry.lastSequence) {
      throw new TopicError("corrupt", `the manifest of the archived segment ${name} is damaged`);
    }
    return manifest;
  }

  /** Whether a manifest and its chunks are there. Their content is not looked at. */
  async #isWhole(name: string, entry: ArchiveEntry, signal: AbortSignal | undefined): Promise<boolean> {
    let manifest: Manifest;
    try {
      manifest = await this.#manifest(name, entry, signal);
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
    const window = new PutWindow({ maxPuts: LOOKS_AT_ONCE, maxBytes: Number.POSITIVE_INFINITY });
    let isWhole = true;
    try {
      for (const { ref } of manifest.chunks) {
        if (!isWhole) break;
        await window.begin(0, async () => {
          if (!(await has(this.#collector.store, ref, signalOf(signal)))) isWhole = false;
        });
      }
      await window.done();
    } finally {
      await window.settled();
    }
    return isWhole;
  }
}

function isDamage(error: unknown): boolean {
  return isLost(error) || (error instanceof TopicError && error.code === "corrupt");
}

function signalOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}

/** @throws TopicError "invalid-argument" */
function checkOptions(
  name: string,
  options: ReadLogOptions,
): { fromSequence: number; lastSequence: number; signal: AbortSignal | undefined } {
  parseArchiveName(name);
  const { fromSequence = 1, lastSequence, signal } = options;
  if (!Number.isSafeInteger(fromSequence) || fromSequence < 1) {
    throw new TopicError("invalid-argument", `fromSequence is ${fromSequence}: integers from 1 are allowed`);
  }
  if (!Number.isSafeInteger(lastSequence) || lastSequence < 0) {
    throw new TopicError("invalid-argument", `lastSequence is ${lastSequence}: integers from 0 are allowed`);
  }
  return { fromSequence, lastSequence, signal };
}
