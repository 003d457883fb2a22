import { BlobError } from "./errors.js";
import { parseRef, type Ref, refBytes } from "./ref.js";
import type {
  BlobStore,
  CallOptions,
  GetManyResult,
  GetOptions,
  ListOptions,
  PutManyResult,
} from "./store.js";
import {
  checkAfter,
  checkCount,
  onePutOptions,
  type PutManyOptions,
  refsForPut,
  signalOption,
} from "./stores/arguments.js";
import { pool } from "./stores/pool.js";

export interface ConcurrencyOptions {
  /** Calls in flight, where the store has no method of its own for many. Default 16. */
  readonly concurrency?: number;
}

const defaultConcurrency = 16;
const refsPerPage = 1024;
const bytesPerPiece = 256 * 1024;

/**
 * One result for each ref, as they come: results and errors together cover every ref, and a ref that was asked for twice comes twice. One that is no ref has an error
 * for a result. What a store's own `getMany` leaves out is an error, too, and what it adds is dropped.
 * @throws only `signal.reason`, and BlobError "invalid-argument"
 */
export async function* getMany(
  store: BlobStore,
  refs: readonly Ref[],
  options: GetOptions & ConcurrencyOptions = {},
): AsyncGenerator<GetManyResult, void, undefined> {
  const { concurrency = defaultConcurrency, ...rest } = options;
  const { signal } = rest;
  signal?.throwIfAborted();
  const limit = checkCount("concurrency", concurrency, 1);
  if (store.getMany) {
    yield* coverEvery(store, [...refs], rest);
  } else {
    yield* pool([...refs], (ref, _index, child) => getOne(store, ref, { ...rest, signal: child }), {
      limit,
      signal,
    });
  }
}

async function getOne(store: BlobStore, ref: Ref, options: GetOptions): Promise<GetManyResult> {
  try {
    return { ref, blob: await store.get(ref, options) };
  } catch (error) {
    return { ref, error };
  }
}

async function* coverEvery(
  store: BlobStore,
  refs: readonly Ref[],
  options: GetOptions,
): AsyncGenerator<GetManyResult, void, undefined> {
  const { signal } = options;
  const missing = new Map<Ref, number>();
  for (const ref of refs) missing.set(ref, (missing.get(ref) ?? 0) + 1);
  let failure: unknown;
  try {
    for await (const result of store.getMany?.(refs, options) ?? []) {
      signal?.throwIfAborted();
      const count = missing.get(result.ref) ?? 0;
      if (count === 0) continue; // nobody asked, or it came already
      if (count === 1) missing.delete(result.ref);
      else missing.set(result.ref, count - 1);
      yield result;
    }
  } catch (error) {
    signal?.throwIfAborted();
    failure = error;
  }
  for (const [ref, count] of missing) {
    const error = failure ?? new BlobError("unavailable", `the store gave no answer for ${ref}`);
    for (let i = 0; i < count; i++) yield { ref, error };
  }
}

/**
 * One result for each blob, in their order. One that failed does not stop the others.
 * @throws `signal.reason`; before anything is written BlobError "invalid-argument", "invalid-ref"
 */
export async function putMany(
  store: BlobStore,
  blobs: readonly Uint8Array[],
  options: PutManyOptions & ConcurrencyOptions = {},
): Promise<readonly PutManyResult[]> {
  const { signal } = options;
  signal?.throwIfAborted();
  const limit = checkCount("concurrency", options.concurrency ?? defaultConcurrency, 1);
  const refs = refsForPut(blobs, options.refs);
  const results = new Array<PutManyResult>(blobs.length);
  if (store.putMany) {
    let answers: readonly PutManyResult[] = [];
    let failure: unknown;
    try {
      const { concurrency: _, ...rest } = options;
      answers = await store.putMany(blobs, { ...rest, refs });
    } catch (error) {
      signal?.throwIfAborted();
      failure = error;
    }
    for (const [i, ref] of refs.entries()) {
      results[i] = answers[i] ?? {
        ref,
        error: failure ?? new BlobError("unavailable", `the store gave no answer for ${ref}`),
      };
    }
    return results;
  }
  const work = pool(
    refs,
    async (ref, i, child) => {
      try {
        results[i] = await store.put(blobs[i] as Uint8Array, onePutOptions(ref, options, child)); // as long as refs
      } catch (error) {
        results[i] = { ref, error };
      }
    },
    { limit, signal },
  );
  for await (const _ of work);
  signal?.throwIfAborted();
  return results;
}

/** Whether the store has something under the ref; only `get` tells whether it is whole. Without a method of the store's own this reads the blob. */
export async function has(store: BlobStore, ref: Ref, options: CallOptions = {}): Promise<boolean> {
  options.signal?.throwIfAborted();
  if (store.has) return await store.has(ref, options);
  try {
    await store.get(ref, options);
    return true;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    if (error.code === "not-found") return false;
    if (error.code === "corrupt") return true;
    throw error;
  }
}

/** False when there was none. @throws BlobError "unsupported" when the store cannot delete */
export async function deleteBlob(store: BlobStore, ref: Ref, options: CallOptions = {}): Promise<boolean> {
  options.signal?.throwIfAborted();
  if (!store.delete) throw new BlobError("unsupported", "this store cannot delete blobs");
  return await store.delete(ref, options);
}

/** The content in pieces; none is empty. Without a method of the store's own this reads the whole blob first. @throws as `get`, also in the middle */
export async function* streamBlob(
  store: BlobStore,
  ref: Ref,
  options: CallOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  if (store.stream) {
    yield* store.stream(ref, options);
    return;
  }
  yield* pieces(await store.get(ref, options), options.signal);
}

/** A blob that is there already, piece by piece. */
export async function* pieces(
  blob: Uint8Array,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < blob.length; at += bytesPerPiece) {
    signal?.throwIfAborted();
    yield blob.subarray(at, Math.min(at + bytesPerPiece, blob.length));
  }
}

/**
 * The refs strictly after `after`, 32 bytes each, in pages of which none is empty. A store without pages of its own has its order checked.
 * @throws BlobError "unordered"
 */
export async function* listRefPages(
  store: BlobStore,
  after?: Ref,
  options: ListOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  if (store.listRefPages) {
    yield* store.listRefPages(after, options);
    return;
  }
  let last = checkAfter(after);
  let page = Buffer.allocUnsafeSlow(refsPerPage * refBytes);
  let length = 0;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  for await (const ref of store.listRefs(after, signalOption(options.signal))) {
    if (last !== undefined && ref <= last) {
      const what = ref === last ? "twice, or the one to start after" : `after ${last}`;
      throw new BlobError("unordered", `a store listed ${ref} ${what}: refs come in their order, each once`);
    }
    last = parseRef(ref);
    length += page.write(ref, length, "hex");
    if (length === page.length) {
      yield page;
      if (!options.reuse) page = Buffer.allocUnsafeSlow(refsPerPage * refBytes);
      length = 0;
    }
    if (--left <= 0) break;
  }
  options.signal?.throwIfAborted();
  if (length > 0) yield page.subarray(0, length);
}
