import { resolve } from "node:path";
import { BlobError } from "../errors.js";
import { parseRef, type Ref } from "../ref.js";
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
import { checkAfter, checkPutMany, type PutManyOptions, refForPut } from "./arguments.js";
import { DirectoryLayout, listFolders } from "./directory-layout.js";
import type { DirectoryPorts } from "./directory-ports.js";
import { putTogether } from "./directory-put-many.js";
import { readVerified, streamVerified } from "./directory-read.js";
import { DirectoryReader } from "./directory-reader.js";
import { DirectoryWriter } from "./directory-write.js";
import { fileError } from "./file-errors.js";
import { KeyedLock } from "./keyed-lock.js";
import { localNodeFiles, nodeFiles } from "./node-files.js";

export interface DirectoryStoreOptions {
  /** Whether the first put may make the folder. With false, a folder that is not there is "unavailable", and not a store without blobs: for a disk that may not be mounted. Default true. */
  readonly create?: boolean;
  /**
   * What a local file system answers from its memory is asked for without leaving the thread, several times as fast: the opening of files and their status, and in `getMany`
   * small files that are in the page cache, for at most 2 ms at a time; when one takes longer, the next ones are opened and read in the background. False: never, as for a
   * folder on a network, which could hold up the whole process. Default true.
   */
  readonly blockingReads?: boolean;
  /** The file system, time, chance and process, for tests. */
  readonly ports?: Partial<DirectoryPorts>;
}

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
  readonly #reader: DirectoryReader;
  readonly #writer: DirectoryWriter;
  readonly #writes = new KeyedLock<Ref>();
  #closed = false;

  constructor(dir: string, options: DirectoryStoreOptions) {
    this.#layout = new DirectoryLayout(dir);
    const blockingReads = options.blockingReads ?? true;
    this.#ports = {
      files: options.ports?.files ?? (blockingReads ? localNodeFiles : nodeFiles),
      clock: options.ports?.clock ?? systemClock,
      random: options.ports?.random ?? systemRandom,
      process: options.ports?.process ?? systemProcess(),
    };
    this.#create = options.create ?? true;
    this.#reader = new DirectoryReader(this.#layout, this.#ports, { blockingReads, create: this.#create });
    this.#writer = new DirectoryWriter(this.#layout, this.#ports, {
      reader: this.#reader,
      create: this.#create,
    });
  }

  get(ref: Ref, { signal }: CallOptions = {}): Promise<Uint8Array> {
    return this.#get(ref, signal, { mayBlock: true });
  }

  async #get(
    ref: Ref,
    signal: AbortSignal | undefined,
    options: { readonly mayBlock: boolean },
  ): Promise<Uint8Array> {
    this.#begin(signal);
    try {
      const file = await this.#reader.open(parseRef(ref), options);
      try {
        signal?.throwIfAborted();
        return await readVerified(file, ref, { path: this.#layout.fileOf(ref), signal });
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
    try {
      const file = await this.#reader.open(parseRef(ref));
      try {
        signal?.throwIfAborted();
        yield* streamVerified(file, ref, { path: this.#layout.fileOf(ref), signal });
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
    this.#begin(signal);
    yield* this.#reader.getMany(refs, signal, async (ref, child) => {
      try {
        return { ref, blob: await this.#get(ref, child, { mayBlock: false }) };
      } catch (error) {
        return { ref, error };
      }
    });
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
    checkPutMany(blobs, options.refs);
    return await putTogether(blobs, options.refs, {
      signal,
      writer: this.#writer,
      writes: this.#writes,
      begin: () => this.#begin(signal),
      put: async (blob, ref, child) => (await this.put(blob, { ref, signal: child })).added,
      failure: (error, child) => this.#failure(error, child, "writing a blob"),
    });
  }

  async has(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    const { signal } = options;
    this.#begin(signal);
    try {
      await (await this.#reader.open(parseRef(ref))).close();
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
