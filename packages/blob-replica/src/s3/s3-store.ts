import { Assembly } from "../assembly.js";
import { BlobError } from "../errors.js";
import { copyOf } from "../own-bytes.js";
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
import {
  checkAfter,
  checkCount,
  onePutOptions,
  type PutManyOptions,
  refForPut,
  refsForPut,
} from "../stores/arguments.js";
import { KeyedLock } from "../stores/keyed-lock.js";
import { pool } from "../stores/pool.js";
import { listPages } from "./listing.js";
import type { S3StoreOptions } from "./options.js";
import { type ReadOptions, readVerified } from "./reading.js";
import type { S3Sender } from "./requests.js";
import { deleteObject, headObject, isConflict, isCutOff, putObject } from "./writing.js";

const defaultConcurrency = 32;
const defaultMaxBlobBytes = 1024 ** 3;
/** Refs that were seen to be damaged, and are overwritten by the next put. */
const mostDamaged = 10_000;
const conflictTries = 5;

/**
 * An object for each blob, `<prefix><ref>`, in a bucket of any server that speaks S3. What is read is compared with its ref ("corrupt"). A put of what is there compares
 * its length and, where the server keeps it, its SHA-256, and overwrites what differs, as it does with what this store has seen to be damaged; it does not read it. A
 * blob is one object of one request: at most 5 GiB, and `get` takes no more than `maxBlobBytes`. What is no content, as an error or a page of a listing, is
 * "unavailable" beyond 16 MiB. A put that is aborted may still be done by the server. The buckets must list their keys in order: those of S3 Express One Zone do not.
 * @throws BlobError "invalid-argument"
 */
export function s3Store(options: S3StoreOptions): BlobStore {
  const { client, bucket, prefix = "" } = options;
  if (typeof client?.send !== "function") {
    throw new BlobError("invalid-argument", "an S3 store needs a client: an S3Client of @aws-sdk/client-s3");
  }
  if (typeof bucket !== "string" || bucket === "") {
    throw new BlobError("invalid-argument", "an S3 store needs the name of a bucket");
  }
  if (typeof prefix !== "string") throw new BlobError("invalid-argument", "prefix is text");
  return new S3Store(
    { client, bucket, prefix },
    {
      concurrency: checkCount("concurrency", options.concurrency ?? defaultConcurrency, 1),
      maxBlobBytes: checkCount("maxBlobBytes", options.maxBlobBytes ?? defaultMaxBlobBytes, 0),
      conditional: options.conditionalPut ?? true,
    },
  );
}

class S3Store implements BlobStore {
  readonly verified: true = true;
  readonly #place: {
    readonly client: S3Sender;
    readonly bucket: string;
    readonly prefix: string;
    keyOf(ref: Ref): string;
  };
  readonly #concurrency: number;
  readonly #maxBlobBytes: number;
  /** So that of the puts of this process one has `added`, on any server. */
  readonly #writes = new KeyedLock<Ref>();
  readonly #damaged = new Set<Ref>();
  #conditional: boolean;

  constructor(
    place: { readonly client: S3Sender; readonly bucket: string; readonly prefix: string },
    settings: { readonly concurrency: number; readonly maxBlobBytes: number; readonly conditional: boolean },
  ) {
    this.#place = { ...place, keyOf: (ref) => place.prefix + ref };
    this.#concurrency = settings.concurrency;
    this.#maxBlobBytes = settings.maxBlobBytes;
    this.#conditional = settings.conditional;
  }

  async get(ref: Ref, { signal }: CallOptions = {}): Promise<Uint8Array> {
    const pieces = new Assembly();
    for await (const piece of this.#read(ref, { signal, maxBytes: this.#maxBlobBytes })) pieces.add(piece);
    const blob = pieces.take();
    // A part of what came from the network would keep all of that in memory.
    return blob.length === blob.buffer.byteLength ? blob : copyOf(blob);
  }

  stream(ref: Ref, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#read(ref, { signal });
  }

  async *#read(ref: Ref, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    parseRef(ref);
    try {
      yield* readVerified(this.#place, ref, options);
    } catch (error) {
      if (error instanceof BlobError && error.code === "corrupt" && this.#damaged.size < mostDamaged) {
        this.#damaged.add(ref);
      }
      throw error;
    }
    signal?.throwIfAborted();
  }

  async *getMany(
    refs: readonly Ref[],
    { signal }: CallOptions = {},
  ): AsyncGenerator<GetManyResult, void, undefined> {
    const task = async (ref: Ref, _index: number, child: AbortSignal): Promise<GetManyResult> => {
      try {
        return { ref, blob: await this.get(ref, { signal: child }) };
      } catch (error) {
        return { ref, error };
      }
    };
    yield* pool([...refs], task, { limit: this.#concurrency, signal });
  }

  async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    const { signal } = options;
    signal?.throwIfAborted();
    const ref = refForPut(blob, options.ref);
    // The SDK reads the bytes also when it tries again: the caller's are copied.
    const bytes = options.frozen === true ? blob : copyOf(blob);
    const added = await this.#writes.run(ref, signal, async () => {
      signal?.throwIfAborted();
      return await this.#write(ref, bytes, signal);
    });
    return { ref, added };
  }

  async putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    const { signal } = options;
    signal?.throwIfAborted();
    const refs = refsForPut(blobs, options.refs);
    const mine = [...blobs];
    const results = new Array<PutManyResult>(mine.length);
    const task = async (ref: Ref, i: number, child: AbortSignal): Promise<void> => {
      try {
        results[i] = await this.put(mine[i] as Uint8Array, onePutOptions(ref, options, child)); // as many as refs
      } catch (error) {
        results[i] = { ref, error };
      }
    };
    for await (const _ of pool(refs, task, { limit: this.#concurrency, signal }));
    signal?.throwIfAborted();
    return results;
  }

  async has(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    return (await headObject(this.#place, parseRef(ref), signal)) !== undefined;
  }

  /** S3 does not say whether there was one: the store asks first. */
  async delete(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    parseRef(ref);
    return await this.#writes.run(ref, signal, async () => {
      if ((await headObject(this.#place, ref, signal)) === undefined) return false;
      await deleteObject(this.#place, ref, signal);
      this.#damaged.delete(ref);
      return true;
    });
  }

  listRefs(after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> {
    return refsOfPages(this.listRefPages(after, options), options.signal);
  }

  async *listRefPages(
    after?: Ref,
    { signal }: CallOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    signal?.throwIfAborted();
    yield* listPages(this.#place, checkAfter(after), signal);
  }

  /** Whether it was not there. */
  async #write(ref: Ref, blob: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#damaged.has(ref)) return await this.#overwrite(ref, blob, signal);
    if (this.#conditional) {
      const answer = await this.#putIfNone(ref, blob, signal);
      if (answer === "written") return true;
      if (answer === "no-condition") this.#conditional = false;
    }
    const there = await headObject(this.#place, ref, signal);
    const sha256 = Buffer.from(ref, "hex").toString("base64");
    const same = there?.length === blob.length && (there.sha256 === undefined || there.sha256 === sha256);
    if (there !== undefined && same) return false;
    await putObject(this.#place, { ref, blob, ifNone: false }, signal);
    return true;
  }

  async #putIfNone(
    ref: Ref,
    blob: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<"written" | "there" | "no-condition"> {
    for (let time = 1; ; time++) {
      try {
        return await putObject(this.#place, { ref, blob, ifNone: true }, signal);
      } catch (error) {
        if (isConflict(error) && time < conflictTries) continue;
        // A server that has it need not read the content: the end of the connection overtakes its answer when much is on its way.
        if (!isCutOff(error) || !(await this.#isThere(ref, signal))) throw error;
        return "there";
      }
    }
  }

  async #isThere(ref: Ref, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      return (await headObject(this.#place, ref, signal)) !== undefined;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }

  async #overwrite(ref: Ref, blob: Uint8Array, signal: AbortSignal | undefined): Promise<true> {
    await putObject(this.#place, { ref, blob, ifNone: false }, signal);
    this.#damaged.delete(ref);
    return true;
  }
}
