import { listRefPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import { refsOfPages } from "../refs-of-pages.js";
import type { BlobStore, CallOptions, PutOptions, PutResult } from "../store.js";
import { checkAfter, refForPut, signalOption } from "./arguments.js";
import type { BlobCodec } from "./codecs.js";
import { KeyedLock } from "./keyed-lock.js";
import type { RefMap } from "./ref-map.js";

export interface TransformOptions {
  /** How the content is kept: `gzip()`, `brotli()`, `aesGcm(keys)`, several by `chain`, or the caller's own. */
  readonly codec: BlobCodec;
  /** Where the encoded blob of each ref is. `directoryRefMap(dir)`, or `memoryRefMap()` and `rebuildRefMap`. */
  readonly refs: RefMap;
}

/**
 * Keeps blobs in another form. Callers use and list the refs of the content; `store` has encoded blobs under refs of their own, so that it can verify them without a key,
 * and `refs` has which is which. A put resolves when both have it, the blob first: what a crash leaves is a blob that nobody refers to, never a ref without a blob. What is
 * decoded is hashed, so that neither a mix-up in `refs` nor a wrong key is ever served.
 *
 * The codec may give other bytes each time, as encryption does, and must: encryption by a key made from the content would give the same bytes for the same content,
 * and so tell anybody who can guess the content that it is there.
 */
export function transform(store: BlobStore, options: TransformOptions): BlobStore {
  const { codec, refs } = options;
  const writes = new KeyedLock<Ref>();

  async function get(ref: Ref, { signal }: CallOptions = {}): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const inner = await refs.get(parseRef(ref), signalOption(signal));
    if (inner === undefined) throw new BlobError("not-found", `there is no blob ${ref}`);
    return await read(ref, inner, signal);
  }

  async function read(ref: Ref, inner: Ref, signal: AbortSignal | undefined): Promise<Uint8Array> {
    let blob: Uint8Array;
    try {
      blob = await codec.decode(await store.get(inner, signalOption(signal)), signalOption(signal));
    } catch (error) {
      signal?.throwIfAborted();
      const code = error instanceof BlobError ? error.code : undefined;
      if (code === "not-found" || code === "corrupt" || code === "bad-data") {
        const why = `the blob ${inner}, which has the content of ${ref}, is missing or damaged`;
        throw new BlobError("corrupt", why, { cause: error });
      }
      // What is kept is too large: that says nothing of the size of its content.
      if (error instanceof BlobError && error.moreThanBytes !== undefined) {
        throw new BlobError(error.code, error.message, { cause: error });
      }
      throw error;
    }
    signal?.throwIfAborted();
    if (refOf(blob) !== ref) {
      throw new BlobError("corrupt", `the blob ${inner} has another content than that of ${ref}`);
    }
    return blob;
  }

  /** The blob that holds the content and is whole; else the one to replace, if any. */
  async function existing(
    ref: Ref,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly inner: Ref | undefined; readonly whole: boolean }> {
    const inner = await refs.get(ref, signalOption(signal));
    if (inner === undefined) return { inner, whole: false };
    try {
      await read(ref, inner, signal);
      return { inner, whole: true };
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof BlobError && error.code === "corrupt") return { inner, whole: false };
      throw error;
    }
  }

  const { delete: remove, [Symbol.asyncDispose]: dispose } = store;
  const disposeRefs = refs[Symbol.asyncDispose];
  const listPages = (after?: Ref, { signal }: CallOptions = {}): AsyncIterable<Uint8Array> =>
    checkedPages(refs, after, signal);

  return {
    verified: true,
    get,

    async put(blob: Uint8Array, { ref: given, signal }: PutOptions = {}): Promise<PutResult> {
      signal?.throwIfAborted();
      const ref = refForPut(blob, given);
      return await writes.run(ref, signal, async () => {
        const { inner: old, whole } = await existing(ref, signal);
        if (whole) return { ref, added: false };
        const encoded = await codec.encode(blob, signalOption(signal));
        signal?.throwIfAborted();
        // The bytes are the codec's own, and it is done with them.
        const { ref: inner } = await store.put(encoded, {
          frozen: encoded !== blob,
          ...signalOption(signal),
        });
        await refs.set(ref, inner, signalOption(signal));
        // Nobody refers to it any more. That it stays there hurts nobody.
        if (old !== undefined && old !== inner) await remove?.call(store, old).catch(() => {});
        return { ref, added: true };
      });
    },

    listRefs: (after, callOptions = {}) => refsOfPages(listPages(after, callOptions), callOptions.signal),
    listRefPages: listPages,

    async has(ref, { signal } = {}) {
      signal?.throwIfAborted();
      const inner = await refs.get(parseRef(ref), signalOption(signal));
      signal?.throwIfAborted();
      return inner !== undefined;
    },

    ...(remove && {
      async delete(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
        signal?.throwIfAborted();
        parseRef(ref);
        return await writes.run(ref, signal, async () => {
          const inner = await refs.get(ref, signalOption(signal));
          if (inner === undefined) return false;
          await refs.delete(ref, signalOption(signal));
          await remove.call(store, inner);
          return true;
        });
      },
    }),

    async [Symbol.asyncDispose]() {
      await writes.idle();
      try {
        await disposeRefs?.call(refs);
      } finally {
        await dispose?.call(store);
      }
    },
  };
}

async function* checkedPages(
  refs: RefMap,
  after: Ref | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  yield* refs.pages(checkAfter(after), signalOption(signal));
}

export interface RebuildOptions extends TransformOptions, CallOptions {
  /** A blob that cannot be decoded, and why. It is left out. */
  readonly onFailure?: (inner: Ref, error: unknown) => void;
}

/** Makes the map anew from the encoded blobs alone: reads and decodes them all. */
export async function rebuildRefMap(
  store: BlobStore,
  options: RebuildOptions,
): Promise<{ readonly mapped: number; readonly failed: number }> {
  const { codec, refs, signal, onFailure } = options;
  let mapped = 0;
  let failed = 0;
  for await (const inner of refsOfPages(listRefPages(store, undefined, signalOption(signal)), signal)) {
    let ref: Ref;
    try {
      ref = refOf(await codec.decode(await store.get(inner, signalOption(signal)), signalOption(signal)));
    } catch (error) {
      signal?.throwIfAborted();
      failed++;
      onFailure?.(inner, error);
      continue;
    }
    await refs.set(ref, inner, signalOption(signal));
    mapped++;
  }
  return { mapped, failed };
}
