import type { Clock } from "../src/clock.js";
import { type BlobStore, type CallOptions, memoryStore, type Ref } from "../src/index.js";

/** A blob of the tests that refers to nothing. */
export const blobOf = (n: number): Uint8Array => new TextEncoder().encode(`blob ${n}`);
export const noReferences = (): Ref[] => [];

export class HandClock implements Clock {
  nowMs = 1_000_000;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  setTimer(): () => void {
    throw new Error("nobody waits");
  }
}

type Delete = (ref: Ref, options: CallOptions) => Promise<boolean>;

/** The store with another `delete`. */
export function deleting(inner: BlobStore, remove: Delete): BlobStore {
  return {
    get: (ref) => inner.get(ref),
    put: (blob, options) => inner.put(blob, options),
    listRefs: (after) => inner.listRefs(after),
    delete: (ref, options = {}) => remove(ref, options),
  };
}

export const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

/** A store of nothing but garbage, in the order of its refs. */
export async function garbageStore(count: number): Promise<{ inner: BlobStore; garbage: Ref[] }> {
  const inner = memoryStore();
  const garbage: Ref[] = [];
  for (let n = 0; n < count; n++) garbage.push((await inner.put(blobOf(n))).ref);
  return { inner, garbage: garbage.sort() };
}
