import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe } from "vitest";
import {
  aesGcm,
  type BlobStore,
  brotli,
  chain,
  directoryRefMap,
  directoryStore,
  gcGuard,
  gzip,
  lruCache,
  memoryRefMap,
  memoryStore,
  metered,
  type Ref,
  transform,
  verifying,
} from "../src/index.js";
import type { BlobStoreUnderTest } from "../src/testing.js";
import { itIsAStore } from "./support/compliance.js";
import { bare, damageThrough, fileOf, flipBit } from "./support/stores.js";
import { suiteOptions } from "./support/watched-files.js";

const key = new Uint8Array(32).fill(7);
const encryption = aesGcm({ current: () => ({ id: "k1", key }), find: () => key });

/** Over memory. */
function over(wrap: (memory: BlobStore) => BlobStore): BlobStoreUnderTest {
  return {
    async open() {
      const memory = memoryStore();
      return {
        store: wrap(memory),
        damage: (ref) => damageThrough(memory, ref),
        close: async () => {},
      };
    },
  };
}

/** Over a folder. `innerOf`: what the folder has the content of a ref under. */
function overFolder(
  wrap: (dir: string) => BlobStore,
  innerOf: (dir: string, ref: Ref) => Promise<Ref> = async (_dir, ref) => ref,
): BlobStoreUnderTest {
  return {
    manyBlobs: 200,
    largestBytes: 16 * 1024 * 1024,
    async open() {
      const dir = await mkdtemp(join(tmpdir(), "blob-composition-"));
      const stores: BlobStore[] = [];
      const open = () => {
        const store = wrap(dir);
        stores.push(store);
        return store;
      };
      return {
        store: open(),
        reopen: async () => open(),
        damage: async (ref) => flipBit(fileOf(dir, await innerOf(dir, ref))),
        async close() {
          for (const store of stores) await store[Symbol.asyncDispose]?.();
          await rm(dir, { recursive: true, force: true });
        },
      };
    },
  };
}

const quiet = { callEnded: () => {} };

describe("lruCache over memory", () => {
  itIsAStore(over((memory) => lruCache(memory, { maxBytes: 1_000_000 })));
});

describe("lruCache that keeps nothing, over three methods", () => {
  itIsAStore(over((memory) => lruCache(bare(memory), { maxBytes: 0 })));
});

describe("verifying over memory", () => {
  itIsAStore(over(verifying), { damage: true });
});

describe("verifying over three methods", () => {
  itIsAStore(
    over((memory) => verifying(bare(memory))),
    { damage: true },
  );
});

describe("lruCache over verifying over memory", () => {
  itIsAStore(
    over((memory) => lruCache(verifying(memory), { maxBytes: 50_000 })),
    { damage: true },
  );
});

describe("metered over memory", () => {
  itIsAStore(over((memory) => metered(memory, quiet)));
});

describe("metered over three methods", () => {
  itIsAStore(over((memory) => metered(bare(memory), quiet)));
});

const references = () => [];

describe("gcGuard over memory", () => {
  itIsAStore(over((memory) => gcGuard(memory, { references })));
});

describe("gcGuard over verifying over three methods", () => {
  itIsAStore(
    over((memory) => gcGuard(verifying(bare(memory)), { references })),
    { damage: true },
  );
});

describe("gcGuard over a directory", () => {
  itIsAStore(
    overFolder((dir) => gcGuard(directoryStore(dir, suiteOptions()), { references })),
    { damage: true },
  );
});

describe("lruCache over verifying over metered over a directory", () => {
  itIsAStore(
    overFolder((dir) =>
      lruCache(verifying(metered(directoryStore(dir, suiteOptions()), quiet)), { maxBytes: 8 * 1024 * 1024 }),
    ),
    { damage: true },
  );
});

describe.each([
  ["gzip", gzip()],
  ["brotli at its fastest", brotli({ level: 0 })],
  ["encryption", encryption],
  ["nothing at all", chain()],
])("transform by %s over memory", (_name, codec) => {
  itIsAStore(
    {
      async open() {
        const memory = memoryStore();
        const refs = memoryRefMap();
        return {
          store: transform(memory, { codec, refs }),
          damage: async (ref) => damageThrough(memory, (await refs.get(ref)) as Ref),
          close: async () => {},
        };
      },
    },
    { damage: true },
  );
});

describe("transform by compression and encryption over a directory", () => {
  itIsAStore(
    overFolder(
      (dir) =>
        transform(directoryStore(dir, suiteOptions()), {
          codec: chain(gzip({ level: 1 }), encryption),
          refs: directoryRefMap(dir),
        }),
      async (dir, ref) => (await directoryRefMap(dir).get(ref)) as Ref,
    ),
    { damage: true },
  );
});
