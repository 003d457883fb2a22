import { resolve } from "node:path";
import { BlobError } from "../errors.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import { refsOfPages } from "../refs-of-pages.js";
import type {
  BlobStore,
  CallOptions,
  GetManyResult,
  PutManyResult,
  PutOptions,
  PutResult,
} from "../store.js";
import { systemClock, systemProcess, systemRandom } from "../system.js";
import { checkAfter, type PutManyOptions, refForPut, refsForPut } from "./arguments.js";
import { DirectoryLayout, listFolders } from "./directory-layout.js";
import { notFound, openBlob, readVerified, streamVerified } from "./directory-read.js";
import { type DirectoryPorts, DirectoryWriter } from "./directory-write.js";
import { fileError, systemCode } from "./file-errors.js";
import { KeyedLock } from "./keyed-lock.js";
import { localNodeFiles, nodeFiles } from "./node-files.js";
import { pool } from "./pool.js";

export interface DirectoryStoreOptions {
  /** Whether the first put may make the folder. With false, a folder that is not there is "unavailable", and not a store without blobs: for a disk that may not be mounted. Default true. */
  readonly create?: boolean;
  /**
   * What a local file system answers from its memory is asked for without leaving the thread, several times as fast: the status of open files, and in `getMany` small files
   * that are in the page cache, for at most 2 ms at a time; when one takes longer, the next ones are read in the background. False: never, as for a folder on a network, which
   * could hold up the whole process. Default true.
   */
  readonly blockingReads?: boolean;
  /** The file system, time, chance and process, for tests. */
  readonly ports?: Partial<DirectoryPorts>;
}

const sliceMs = 2;
/** A file that is not in the page cache, on a disk that is slow: so many of the next ones are read in the background. */
const slowMs = 5;
const readsInBackground = 32;
const smallBytes = 64 * 1024;
/** Small files that are read before the first of them is given. */
const readsTogether = 16;
const readsAtOnce = 16;
const writesAtOnce = 64;

/**
 * A file for each blob, `blobs/aa/aabb/<ref>` below the folder: the layout of the file store of bobg/bs v0.4.0. A put has synced the file and its name when it resolves; a
 * file that is torn or damaged is never served ("corrupt"), and is replaced by a put. Several processes may use the folder at the same time; then a blob that two of them
 * put at once is `added` for both.
 * @throws BlobError "invalid-argument"
 */
export function directoryStore(dir: string, options: DirectoryStoreOptions = {}): BlobStore {
  if (typeof dir !== "string" || dir === "" || dir.includes("\0")) {
    throw new BlobError(
      "invalid-argument",
      `a directory store needs the path of a folder, not ${JSON.stringify(dir)}`,
    );
  }
  return new DirectoryStore(resolve(dir), options);
}

class DirectoryStore implements BlobStore {
  readonly verified: true = true;
  readonly #layout: DirectoryLayout;
  readonly #ports: DirectoryPorts;
  readonly #create: boolean;
  readonly #blockingReads: boolean;
  readonly #writer: DirectoryWriter;
  readonly #writes = new KeyedLock<Ref>();
  /** How many reads of batches go to the background, since one blocked for long. */
  #patience = 0;
  #closed = false;

  constructor(dir: string, options: DirectoryStoreOptions) {
    this.#layout = new DirectoryLayout(dir);
    this.#blockingReads = options.blockingReads ?? true;
    this.#ports = {
      files: options.ports?.files ?? (this.#blockingReads ? localNodeFiles : nodeFiles),
      clock: options.ports?.clock ?? systemClock,
      random: options.ports?.random ?? systemRandom,
      process: options.ports?.process ?? systemProcess(),
    };
    this.#create = options.create ?? true;
    this.#writer = new DirectoryWriter(this.#layout, this.#ports, this.#create);
  }

  async get(ref: Ref, options: CallOptions = {}): Promise<Uint8Array> {
    const { signal } = options;
    this.#begin(signal);
    const path = this.#layout.fileOf(parseRef(ref));
    try {
      const file = await openBlob(this.#ports.files, path, ref);
      try {
        signal?.throwIfAborted();
        return await readVerified(file, ref, { path, signal });
      } finally {
        await file.close();
      }
    } catch (error) {
      throw await this.#failure(error, signal, "reading a blob");
    }
  }

  async *stream(ref: Ref, options: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = options;
    this.#begin(signal);
    const path = this.#layout.fileOf(parseRef(ref));
    try {
      const file = await openBlob(this.#ports.files, path, ref);
      try {
        signal?.throwIfAborted();
        yield* streamVerified(file, ref, { path, signal });
      } finally {
        await file.close();
      }
    } catch (error) {
      throw await this.#failure(error, signal, "reading a blob");
    }
  }

  async *getMany(
    refs: readonly Ref[],
    options: CallOptions = {},
  ): AsyncGenerator<GetManyResult, void, undefined> {
    const { signal } = options;
    const { clock } = this.#ports;
    this.#begin(signal);
    const all = [...refs];
    const inBackground = (from: number, to: number) =>
      pool(all.slice(from, to), (ref, _index, child) => this.#getOne(ref, child), {
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

  async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    const { signal } = options;
    this.#begin(signal);
    const ref = refForPut(blob, options.ref);
    try {
      const added = await this.#writes.run(ref, signal, () => this.#writer.write(ref, blob, signal));
      return { ref, added };
    } catch (error) {
      throw await this.#failure(error, signal, "writing a blob");
    }
  }

  async putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    const { signal } = options;
    this.#begin(signal);
    const refs = refsForPut(blobs, options.refs);
    const results = new Array<PutManyResult>(refs.length);
    const work = pool(
      refs,
      async (ref, i, child) => {
        try {
          results[i] = await this.put(blobs[i] as Uint8Array, { ref, signal: child }); // as long as refs
        } catch (error) {
          results[i] = { ref, error };
        }
      },
      { limit: writesAtOnce, signal },
    );
    for await (const _ of work);
    signal?.throwIfAborted();
    return results;
  }

  async has(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    const { signal } = options;
    this.#begin(signal);
    const path = this.#layout.fileOf(parseRef(ref));
    try {
      await (await openBlob(this.#ports.files, path, ref)).close();
      signal?.throwIfAborted();
      return true;
    } catch (error) {
      const failure = await this.#failure(error, signal, "looking for a blob");
      if (failure instanceof BlobError && failure.code === "not-found") return false;
      throw failure;
    }
  }

  async delete(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    const { signal } = options;
    this.#begin(signal);
    parseRef(ref);
    try {
      return await this.#writes.run(ref, signal, async () => {
        signal?.throwIfAborted();
        return await this.#writer.remove(ref);
      });
    } catch (error) {
      throw await this.#failure(error, signal, "deleting a blob");
    }
  }

  listRefs(after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> {
    return refsOfPages(this.listRefPages(after, options), options.signal);
  }

  async *listRefPages(after?: Ref, options: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = options;
    this.#begin(signal);
    checkAfter(after);
    const { files } = this.#ports;
    try {
      if (!this.#create && !(await files.isDir(this.#layout.root))) throw this.#noFolder();
      yield* listFolders(files, this.#layout, { after, signal });
    } catch (error) {
      throw await this.#failure(error, signal, "listing the blobs");
    }
  }

  /** Waits for the writes under way. Calls after it fail as "closed". */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#writes.idle();
  }

  #begin(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#closed) throw new BlobError("closed", `the store of ${this.#layout.root} was closed`);
  }

  async #getOne(ref: Ref, signal: AbortSignal): Promise<GetManyResult> {
    try {
      return { ref, blob: await this.get(ref, { signal }) };
    } catch (error) {
      return { ref, error };
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

  /** What the caller is told. */
  async #failure(error: unknown, signal: AbortSignal | undefined, what: string): Promise<unknown> {
    if (signal?.aborted) return signal.reason;
    const missing = error instanceof BlobError && error.code === "not-found";
    if (missing && !this.#create && !(await this.#ports.files.isDir(this.#layout.root)))
      return this.#noFolder();
    return fileError(error, this.#layout.root, what);
  }

  #noFolder(): BlobError {
    return new BlobError("unavailable", `there is no folder ${this.#layout.root}: is its disk mounted?`);
  }
}
