import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BlobStore, type DirectoryStoreOptions, directoryStore, type Ref } from "../../src/index.js";
import type { BlobStoreUnderTest } from "../../src/testing.js";
import { suiteOptions } from "./watched-files.js";

/** Only the three methods that make a store. */
export function bare(store: BlobStore): BlobStore {
  return {
    get: (ref, options) => store.get(ref, options),
    put: (blob, options) => store.put(blob, options),
    listRefs: (after, options) => store.listRefs(after, options),
  };
}

/** A directory store in a new folder, for the suite. `synced`: it syncs what it writes, as outside of tests. */
export function directoryUnderTest(
  given: DirectoryStoreOptions = {},
  { manyBlobs = 1000, synced = false }: { readonly manyBlobs?: number; readonly synced?: boolean } = {},
): BlobStoreUnderTest {
  const options = suiteOptions(given, synced);
  return {
    manyBlobs,
    async open() {
      const dir = await mkdtemp(join(tmpdir(), "blob-directory-"));
      const stores = [directoryStore(dir, options)];
      return {
        store: stores[0] as BlobStore,
        async reopen() {
          const store = directoryStore(dir, options);
          stores.push(store);
          return store;
        },
        damage: (ref) => flipBit(fileOf(dir, ref)),
        async close() {
          for (const store of stores) await store[Symbol.asyncDispose]?.();
          await rm(dir, { recursive: true, force: true });
        },
      };
    },
  };
}

/** Where bobg/bs v0.4.0 has it. */
export function fileOf(dir: string, ref: string): string {
  return join(dir, "blobs", ref.slice(0, 2), ref.slice(0, 4), ref);
}

/** In the middle; of an empty file, a byte is added. */
export async function flipBit(path: string): Promise<void> {
  const bytes = await readFile(path);
  const at = bytes.length >> 1;
  if (bytes.length === 0) return await writeFile(path, "x");
  bytes[at] = (bytes[at] as number) ^ 4;
  await writeFile(path, bytes);
}

/** Puts other bytes under the ref: a wrong ref, given by the caller, damages a store that trusts him. */
export async function damageThrough(store: BlobStore, ref: Ref): Promise<void> {
  const damaged = new Uint8Array(await store.get(ref));
  const at = damaged.length >> 1;
  damaged[at] = (damaged[at] as number) ^ 4;
  await store.put(damaged, { ref });
}
