import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import {
  type BlobStore,
  createReplica,
  directoryStore,
  memoryStore,
  type Replica,
  type ReplicaOptions,
} from "../src/index.js";
import type { BlobStoreFixture, BlobStoreUnderTest } from "../src/testing.js";
import { itIsAStore } from "./support/compliance.js";
import { bare, damageThrough } from "./support/stores.js";

interface Setup {
  readonly sync: readonly BlobStore[];
  readonly options?: (dir: string) => Partial<ReplicaOptions>;
}

/** A replica in a folder of its own. `damage` spoils the copy in the first store. */
function replicaUnderTest(setup: (dir: string) => Setup, manyBlobs = 3000): BlobStoreUnderTest {
  return {
    manyBlobs,
    async open(): Promise<BlobStoreFixture> {
      const dir = await mkdtemp(join(tmpdir(), "blob-replica-"));
      const { sync, options } = setup(dir);
      const replica: Replica = await createReplica({
        sync: sync.map((store, i) => ({ name: `sync${i}`, store })),
        ...options?.(dir),
      } as ReplicaOptions); // what the tests below put together
      return {
        store: replica,
        damage: (ref) => damageThrough(sync[0] as BlobStore, ref),
        async close() {
          await replica[Symbol.asyncDispose]();
          for (const store of sync) await store[Symbol.asyncDispose]?.();
          await rm(dir, { recursive: true, force: true });
        },
      };
    },
  };
}

const later = (store: BlobStore) => [{ name: "later", store }];

describe("a replica of one store in memory", () => {
  itIsAStore(replicaUnderTest(() => ({ sync: [memoryStore()] })));
});

describe("a replica of three stores in memory", () => {
  itIsAStore(
    replicaUnderTest(() => ({ sync: [memoryStore(), memoryStore(), memoryStore()] })),
    { damage: true },
  );
});

describe("a replica of two of three stores", () => {
  itIsAStore(
    replicaUnderTest(() => ({
      sync: [memoryStore(), bare(memoryStore()), memoryStore()],
      options: () => ({ writeQuorum: 2 }),
    })),
  );
});

describe("a replica with an asynchronous store and a queue in memory", () => {
  itIsAStore(
    replicaUnderTest(() => ({
      sync: [memoryStore(), memoryStore()],
      options: () => ({ async: later(bare(memoryStore())), queue: { memory: true } }),
    })),
  );
});

describe("a replica of memory and a directory, with an asynchronous store and a queue on disk", () => {
  itIsAStore(
    replicaUnderTest(
      (dir) => ({
        sync: [memoryStore(), directoryStore(join(dir, "store"))],
        options: () => ({ async: later(memoryStore()), queue: { dir: join(dir, "queue") } }),
      }),
      500,
    ),
    { damage: true },
  );
});

describe("a replica of replicas", () => {
  const inner = (): BlobStore => {
    const opening = createReplica({
      sync: [
        { name: "a", store: memoryStore() },
        { name: "b", store: bare(memoryStore()) },
      ],
    });
    return {
      get: async (ref, options) => await (await opening).get(ref, options),
      put: async (blob, options) => await (await opening).put(blob, options),
      async *listRefs(after, options) {
        yield* (await opening).listRefs(after, options);
      },
    };
  };
  itIsAStore(replicaUnderTest(() => ({ sync: [inner(), inner()] }), 500));
});
