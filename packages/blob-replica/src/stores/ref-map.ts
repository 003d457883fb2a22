import { type Ref, refBytes, refFromBytes } from "../ref.js";
import type { CallOptions } from "../store.js";
import { RefIndex } from "./ref-index.js";

/** Which blob of the store below holds the content of a ref. What `set` has resolved for lasts as long as the store's blobs. Errors are BlobErrors. */
export interface RefMap {
  get(ref: Ref, options?: CallOptions): Promise<Ref | undefined>;
  /** Replaces what was there. */
  set(ref: Ref, inner: Ref, options?: CallOptions): Promise<void>;
  /** False when there was none. */
  delete(ref: Ref, options?: CallOptions): Promise<boolean>;
  /** The refs that are mapped, as `listRefPages` of a store. */
  pages(after?: Ref, options?: CallOptions): AsyncIterable<Uint8Array>;
  [Symbol.asyncDispose]?(): Promise<void>;
}

/** Gone with the process: for a store that is, too, or one whose map is rebuilt at the start. */
export function memoryRefMap(): RefMap {
  const inner = new Map<Ref, Ref>();
  const index = new RefIndex();
  return {
    get: async (ref) => inner.get(ref),
    async set(ref, to) {
      inner.set(ref, to);
      index.add(ref);
    },
    async delete(ref) {
      index.delete(ref);
      return inner.delete(ref);
    },
    async *pages(after, { signal } = {}) {
      let last = after;
      for (;;) {
        signal?.throwIfAborted();
        const page = index.pageAfter(last);
        if (page === undefined) return;
        last = refFromBytes(page.subarray(-refBytes));
        yield page;
      }
    },
  };
}
