import { createHash } from "node:crypto";
import { getMany, listRefPages, putMany, streamBlob } from "../capabilities.js";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import type {
  BlobStore,
  CallOptions,
  GetManyResult,
  GetOptions,
  PutManyResult,
  PutOptions,
  PutResult,
} from "../store.js";
import { type PutManyOptions, refForPut, refsForPut } from "./arguments.js";
import { passOn } from "./pass-on.js";
import { isContentOf } from "./verified.js";

/**
 * Hashes what the store gives, so that what is not the content of its ref is "corrupt" and never served. A store that says it has put something else than it was given is
 * "corrupt", too. Costs one SHA-256 for each read, and none where the store is `verified` already. The last piece of a stream is held back until all are known to be right.
 */
export function verifying(store: BlobStore): BlobStore {
  const checked = (ref: Ref, blob: Uint8Array) => {
    if (!isContentOf(ref, blob, store)) throw wrongContent(ref);
    return blob;
  };
  return {
    ...passOn(store),
    verified: true,

    async get(ref: Ref, options: GetOptions = {}): Promise<Uint8Array> {
      const blob = await store.get(ref, options);
      options.signal?.throwIfAborted();
      return checked(ref, blob);
    },

    async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
      options.signal?.throwIfAborted();
      const ref = refForPut(blob, options.ref);
      const result = await store.put(blob, { ...options, ref });
      if (result.ref !== ref) throw otherRef(ref, result.ref);
      return result;
    },

    async *getMany(
      refs: readonly Ref[],
      options: GetOptions = {},
    ): AsyncGenerator<GetManyResult, void, undefined> {
      for await (const result of getMany(store, refs, options)) {
        const { ref, blob } = result;
        const right = blob === undefined || isContentOf(ref, blob, store);
        yield right ? result : { ref, error: wrongContent(ref) };
      }
    },

    async putMany(
      blobs: readonly Uint8Array[],
      options: PutManyOptions = {},
    ): Promise<readonly PutManyResult[]> {
      options.signal?.throwIfAborted();
      const refs = refsForPut(blobs, options.refs);
      const results = await putMany(store, blobs, { ...options, refs });
      return results.map((result, i) => {
        const ref = refs[i] as Ref; // as many
        return result.ref === ref ? result : { ref, error: otherRef(ref, result.ref) };
      });
    },

    async *stream(ref: Ref, options: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
      if (store.verified) {
        yield* streamBlob(store, ref, options);
        return;
      }
      const hash = createHash("sha256");
      let held: Uint8Array | undefined;
      for await (const piece of streamBlob(store, ref, options)) {
        if (held) yield held;
        options.signal?.throwIfAborted();
        hash.update(piece);
        held = piece;
      }
      if (hash.digest("hex") !== ref) throw wrongContent(ref);
      if (held) yield held;
    },

    listRefPages: (after, options) => listRefPages(store, after, options),
  };
}

function wrongContent(ref: Ref): BlobError {
  return new BlobError("corrupt", `what the store has under ${ref} is another content, or part of it`);
}

function otherRef(ref: Ref, other: unknown): BlobError {
  return new BlobError("corrupt", `the store was given ${ref} and says it has put ${String(other)}`);
}
