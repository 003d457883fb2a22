import { getMany, listRefPages, pieces, putMany, streamBlob } from "../capabilities.js";
import { copyOf } from "../own-bytes.js";
import type { Ref } from "../ref.js";
import type {
  BlobStore,
  CallOptions,
  GetManyResult,
  GetOptions,
  ListOptions,
  PutManyResult,
  PutOptions,
  PutResult,
} from "../store.js";
import { checkCount, type PutManyOptions, refForPut, refsForPut } from "./arguments.js";
import { passOn } from "./pass-on.js";
import { isContentOf } from "./verified.js";

export interface LruCacheOptions {
  /** Of the blobs that are kept, together. A larger blob is not kept. */
  readonly maxBytes: number;
}

/**
 * Keeps the blobs that were read or written last in memory, and answers from there. Writes go to the store first; a blob that it refuses is not kept. What it gives is hashed
 * before it is kept, so that a cache never makes a damaged read last. A blob that somebody else deletes from the store may still be read here.
 * @throws BlobError "invalid-argument"
 */
export function lruCache(store: BlobStore, options: LruCacheOptions): BlobStore {
  return new LruCache(store, checkCount("maxBytes", options.maxBytes, 0));
}

class LruCache implements BlobStore {
  readonly #store: BlobStore;
  readonly #maxBytes: number;
  /** The least recently used first. */
  readonly #kept = new Map<Ref, Uint8Array>();
  /** Grows with every delete: a read that began before one must not bring the blob back. */
  #deletes = 0;
  #bytes = 0;
  readonly prefixDigests?: NonNullable<BlobStore["prefixDigests"]>;
  readonly has?: NonNullable<BlobStore["has"]>;
  readonly delete?: NonNullable<BlobStore["delete"]>;
  readonly [Symbol.asyncDispose]?: () => Promise<void>;

  constructor(store: BlobStore, maxBytes: number) {
    this.#store = store;
    this.#maxBytes = maxBytes;
    const inner = passOn(store);
    if (inner.prefixDigests) this.prefixDigests = inner.prefixDigests;
    if (inner.has) {
      const has = inner.has;
      this.has = async (ref, options) => {
        options?.signal?.throwIfAborted();
        return this.#kept.has(ref) || (await has(ref, options));
      };
    }
    if (inner.delete) {
      const remove = inner.delete;
      this.delete = async (ref, options) => {
        try {
          return await remove(ref, options);
        } finally {
          this.#deletes++;
          this.#drop(ref);
        }
      };
    }
    const dispose = inner[Symbol.asyncDispose];
    if (dispose) {
      this[Symbol.asyncDispose] = async () => {
        this.#kept.clear();
        this.#bytes = 0;
        await dispose();
      };
    }
  }

  async get(ref: Ref, options: GetOptions = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    const kept = this.#use(ref);
    if (kept) return own(kept, options.frozen);
    const deletes = this.#deletes;
    const blob = await this.#store.get(ref, options);
    if (deletes === this.#deletes && this.#fits(blob) && isContentOf(ref, blob, this.#store))
      this.#keep(ref, own(blob, options.frozen));
    return blob;
  }

  async *stream(ref: Ref, options: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    options.signal?.throwIfAborted();
    const kept = this.#use(ref);
    yield* kept ? pieces(copyOf(kept), options.signal) : streamBlob(this.#store, ref, options);
  }

  async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    options.signal?.throwIfAborted();
    const ref = refForPut(blob, options.ref);
    const deletes = this.#deletes;
    const result = await this.#store.put(blob, { ...options, ref });
    if (deletes === this.#deletes) this.#keepPut(ref, blob, options.frozen);
    return result;
  }

  async *getMany(
    refs: readonly Ref[],
    options: GetOptions = {},
  ): AsyncGenerator<GetManyResult, void, undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    const missing: Ref[] = [];
    for (const ref of [...refs]) {
      signal?.throwIfAborted();
      const kept = this.#use(ref);
      if (kept) yield { ref, blob: own(kept, options.frozen) };
      else missing.push(ref);
    }
    if (missing.length === 0) return;
    const deletes = this.#deletes;
    for await (const result of getMany(this.#store, missing, options)) {
      const { ref, blob } = result;
      const keeps = blob && deletes === this.#deletes && !this.#kept.has(ref) && this.#fits(blob);
      if (keeps && isContentOf(ref, blob, this.#store)) this.#keep(ref, own(blob, options.frozen));
      yield result;
    }
  }

  async putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    options.signal?.throwIfAborted();
    const refs = refsForPut(blobs, options.refs);
    const deletes = this.#deletes;
    const results = await putMany(this.#store, blobs, { ...options, refs });
    for (const [i, { ref, added }] of results.entries()) {
      const put = added !== undefined && deletes === this.#deletes;
      if (put) this.#keepPut(ref, blobs[i] as Uint8Array, options.frozen); // as many
    }
    return results;
  }

  listRefs(after?: Ref, options?: CallOptions): AsyncIterable<Ref> {
    return this.#store.listRefs(after, options);
  }

  listRefPages(after?: Ref, options?: ListOptions): AsyncIterable<Uint8Array> {
    return listRefPages(this.#store, after, options);
  }

  #use(ref: Ref): Uint8Array | undefined {
    const kept = this.#kept.get(ref);
    if (kept === undefined) return undefined;
    this.#kept.delete(ref);
    this.#kept.set(ref, kept);
    return kept;
  }

  #fits(blob: Uint8Array): boolean {
    return blob.length <= this.#maxBytes;
  }

  #keepPut(ref: Ref, blob: Uint8Array, frozen: boolean | undefined): void {
    if (this.#fits(blob)) this.#keep(ref, own(blob, frozen));
  }

  #keep(ref: Ref, blob: Uint8Array): void {
    this.#drop(ref);
    this.#kept.set(ref, blob);
    this.#bytes += blob.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#drop(oldest);
    }
  }

  #drop(ref: Ref): void {
    this.#bytes -= this.#kept.get(ref)?.length ?? 0;
    this.#kept.delete(ref);
  }
}

/** A copy, unless nobody will change the bytes. */
function own(blob: Uint8Array, frozen = false): Uint8Array {
  return frozen ? blob : copyOf(blob);
}
