import { parseRef, type Ref, refOf } from "../ref.js";
import type { GetManyResult } from "../store.js";
import type { DirectoryLayout } from "./directory-layout.js";
import type { DirectoryPorts } from "./directory-ports.js";
import { notFound } from "./directory-read.js";
import { systemCode } from "./file-errors.js";
import type { ReadableFile } from "./files.js";
import { pool } from "./pool.js";

const sliceMs = 2;
/** A file that is not in the page cache, on a disk that is slow: so many of the next ones are read in the background. */
const slowMs = 5;
const readsInBackground = 32;
const smallBytes = 64 * 1024;
/** Small files that are read before the first of them is given. */
const readsTogether = 16;
const readsAtOnce = 16;

export interface DirectoryReaderOptions {
  readonly blockingReads: boolean;
  /** Whether the folder may be missing: then a blob that is not there is not in the store either. */
  readonly create: boolean;
}

/** Finds the files of blobs. Where it may, it blocks for what a local file system has in memory, until that took long once. */
export class DirectoryReader {
  readonly #layout: DirectoryLayout;
  readonly #ports: DirectoryPorts;
  readonly #blockingReads: boolean;
  readonly #create: boolean;
  /** How many files are opened in the background, since one blocked for long. */
  #patience = 0;

  constructor(layout: DirectoryLayout, ports: DirectoryPorts, options: DirectoryReaderOptions) {
    this.#layout = layout;
    this.#ports = ports;
    this.#blockingReads = options.blockingReads;
    this.#create = options.create;
  }

  /** A blob's file. @throws BlobError "not-found", and the system's error for anything else */
  async open(ref: Ref, { mayBlock = true }: { readonly mayBlock?: boolean } = {}): Promise<ReadableFile> {
    const path = this.#layout.fileOf(ref);
    try {
      const file = mayBlock && this.#mayOpenNow() ? this.#openNow(path) : undefined;
      // Where there is none, this says why: the folder may be a file.
      return file ?? (await this.#ports.files.openForReading(path));
    } catch (error) {
      throw systemCode(error) === "ENOENT" ? notFound(ref) : error;
    }
  }

  /** The same, or undefined when there is none, for whatever reason. */
  async openIfThere(ref: Ref): Promise<ReadableFile | undefined> {
    const path = this.#layout.fileOf(ref);
    try {
      return this.#mayOpenNow() ? this.#openNow(path) : await this.#ports.files.openForReading(path);
    } catch {
      return undefined;
    }
  }

  /** @param getInBackground never rejects */
  async *getMany(
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
    getInBackground: (ref: Ref, signal: AbortSignal) => Promise<GetManyResult>,
  ): AsyncGenerator<GetManyResult, void, undefined> {
    const { clock } = this.#ports;
    const all = [...refs];
    const inBackground = (from: number, to: number) =>
      pool(all.slice(from, to), (ref, _index, child) => getInBackground(ref, child), {
        limit: readsAtOnce,
        signal,
      });
    const scratch = new Uint8Array(smallBytes + 1);
    for (let at = 0; at < all.length; ) {
      // One in the background after each slice, so that others get their turn.
      const count = this.#blockingReads
        ? Math.max(1, Math.min(this.#patience, readsInBackground))
        : all.length;
      yield* inBackground(at, at + count);
      at += count;
      this.#patience = Math.max(0, this.#patience - count);
      const end = clock.monotonicMs() + sliceMs;
      for (let blocked = false; !blocked && at < all.length && this.#blockingReads; ) {
        signal?.throwIfAborted();
        const results: GetManyResult[] = [];
        let now = clock.monotonicMs();
        blocked = now > end;
        while (!blocked && at < all.length && results.length < readsTogether) {
          const result = this.#getNow(all[at] as Ref, scratch); // at is inside
          const begun = now;
          now = clock.monotonicMs();
          if (now - begun > slowMs) this.#patience = readsInBackground;
          // One that is not small is the first of the next ones in the background.
          blocked = result === undefined || this.#patience > 0 || now > end;
          if (result === undefined) break;
          at++;
          results.push(result);
        }
        for (const result of results) {
          signal?.throwIfAborted();
          yield result;
        }
      }
    }
  }

  #mayOpenNow(): boolean {
    if (!this.#blockingReads) return false;
    if (this.#patience === 0) return true;
    this.#patience--;
    return false;
  }

  #openNow(path: string): ReadableFile | undefined {
    const { files, clock } = this.#ports;
    const begun = clock.monotonicMs();
    try {
      return files.openNow(path);
    } finally {
      if (clock.monotonicMs() - begun > slowMs) this.#patience = readsInBackground;
    }
  }

  /** Undefined for a file that is not small, or that has to be looked at more closely. */
  #getNow(ref: Ref, scratch: Uint8Array): GetManyResult | undefined {
    try {
      const path = this.#layout.fileOf(parseRef(ref));
      let length: number;
      try {
        length = this.#ports.files.readNow(path, scratch);
      } catch (error) {
        if (systemCode(error) === "ENOENT" && this.#create) throw notFound(ref);
        return undefined; // get() tells what it is
      }
      if (length === scratch.length) return undefined;
      const read = scratch.subarray(0, length);
      return refOf(read) === ref ? { ref, blob: read.slice() } : undefined; // damaged, or not all of it
    } catch (error) {
      return { ref, error };
    }
  }
}
