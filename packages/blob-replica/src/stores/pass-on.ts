import type { BlobStore } from "../store.js";

/** What a wrapper leaves to the store that it wraps; optional methods only where the store has them. */
export function passOn(
  store: BlobStore,
): Pick<BlobStore, "listRefs" | "has" | "delete" | "prefixDigests" | typeof Symbol.asyncDispose> {
  const dispose = store[Symbol.asyncDispose];
  return {
    listRefs: (after, options) => store.listRefs(after, options),
    ...(store.has && { has: store.has.bind(store) }),
    ...(store.delete && { delete: store.delete.bind(store) }),
    ...(store.prefixDigests && { prefixDigests: store.prefixDigests.bind(store) }),
    ...(dispose && { [Symbol.asyncDispose]: dispose.bind(store) }),
  };
}
