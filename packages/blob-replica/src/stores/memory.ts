import { BlobError } from "../errors.js";
import { copyOf } from "../own-bytes.js";
import { parseRef, type Ref } from "../ref.js";
import { refsOfPages } from "../refs-of-pages.js";
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
import { type PutManyOptions, refForPut, refsForPut } from "./arguments.js";
import { IndexPages } from "./index-pages.js";
import { RefIndex } from "./ref-index.js";

export interface MemoryStoreOptions {
  /** Of all blobs together; a put that would go over it is refused as "full". Default: no limit. */
  readonly maxBytes?: number;
}

/** Blobs in memory, with an index in order: 32 to 64 bytes for each ref beside the blob. Gone with the process. */
export function memoryStore(options: MemoryStoreOptions = {}): BlobStore {
  const maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
  if (!(maxBytes >= 0)) {
    throw new BlobError("invalid-argument", `maxBytes is a number of at least 0, not ${maxBytes}`);
  }
  return new MemoryStore(maxBytes);
}

/**
 * For replicas, which then read it at once: in a listing or a catch-up the promises of `method` would take longer than the rest. Undefined for other stores, and for
 * one in which somebody has put another method in its place.
 */
export function asMemoryStore(store: BlobStore, method: "getMany" | "listRefPages"): MemoryStore | undefined {
  const isItsOwn = store instanceof MemoryStore && store[method] === MemoryStore.prototype[method];
  return isItsOwn ? store : undefined;
}

/** Its type is for `asMemoryStore`: everybody else has a BlobStore. */
export class MemoryStore implements BlobStore {
  readonly #maxBytes: number;
  readonly #blobs = new Map<Ref, Uint8Array>();
  readonly #index = new RefIndex();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** At once, for a reader that changes nothing of it; undefined where there is none. */
  kept(ref: Ref): Uint8Array | undefined {
    return this.#blobs.get(ref);
  }

  async get(ref: Ref, options: GetOptions = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    return this.#give(ref, options);
  }

  async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    options.signal?.throwIfAborted();
    return this.#put(blob, refForPut(blob, options.ref), options.frozen ?? false);
  }

  listRefs(after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> {
    return refsOfPages(this.listRefPages(after, options), options.signal);
  }

  listRefPages(after?: Ref, options: ListOptions = {}): IndexPages {
    return new IndexPages(this.#index, after, options);
  }

  async *getMany(
    refs: readonly Ref[],
    options: GetOptions = {},
  ): AsyncGenerator<GetManyResult, void, undefined> {
    for (const ref of [...refs]) {
      options.signal?.throwIfAborted();
      let result: GetManyResult;
      try {
        result = { ref, blob: this.#give(ref, options) };
      } catch (error) {
        result = { ref, error };
      }
      yield result;
    }
  }

  async putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    options.signal?.throwIfAborted();
    const refs = refsForPut(blobs, options.refs);
    return refs.map((ref, i) => {
      try {
        return this.#put(blobs[i] as Uint8Array, ref, options.frozen ?? false); // as long as refs
      } catch (error) {
        return { ref, error };
      }
    });
  }

  async has(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    return this.#blobs.has(parseRef(ref));
  }

  async delete(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    const blob = this.#blobs.get(parseRef(ref));
    if (blob === undefined) return false;
    this.#blobs.delete(ref);
    this.#index.delete(ref);
    this.#bytes -= blob.length;
    return true;
  }

  #give(ref: Ref, { frozen }: GetOptions): Uint8Array {
    const blob = this.#blobs.get(parseRef(ref));
    if (blob === undefined) throw new BlobError("not-found", `there is no blob ${ref}`);
    return frozen ? blob : copyOf(blob);
  }

  #put(blob: Uint8Array, ref: Ref, frozen: boolean): PutResult {
    const old = this.#blobs.get(ref);
    // What is there was frozen by its caller, perhaps, and changed all the same: then it is replaced.
    if (old !== undefined && equal(old, blob)) return { ref, added: false };
    const bytes = this.#bytes - (old?.length ?? 0) + blob.length;
    if (bytes > this.#maxBytes) {
      throw new BlobError(
        "full",
        `${bytes} bytes are more than the ${this.#maxBytes} that the store may hold`,
      );
    }
    this.#bytes = bytes;
    this.#blobs.set(ref, frozen ? blob : copyOf(blob));
    this.#index.add(ref);
    return { ref, added: true };
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
