import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BlobStore, directoryStore } from "../src/index.js";
import { localNodeFiles } from "../src/stores/node-files.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import type { BlobStoreUnderTest } from "../src/testing.js";
import { bounded } from "./support/compliance.js";
import { unsyncedFiles, watchedFiles } from "./support/watched-files.js";

const shortMs = 100;
const underTest = (store: BlobStore): BlobStoreUnderTest => ({
  open: async () => ({ store, close: async () => {} }),
});

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "blob-watched-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe("a case of the suite that meets its limit", () => {
  const never = new Promise<never>(() => {});

  it("tells that no file is waited for, where a wake-up was lost", async () => {
    const store = directoryStore(dir, { ports: { files: watchedFiles(localNodeFiles) } });
    const lost = { name: "lost", run: () => store.put(testBlob(1, 10)).then(() => never) };
    await expect(bounded(lost, underTest(store), shortMs)).rejects.toThrow(
      /pending calls of watched files: none$/,
    );
  });

  it("tells which calls of files hang, of which file, and for how long", async () => {
    const files = watchedFiles({ ...localNodeFiles, list: () => never });
    const store = directoryStore(dir, { ports: { files } });
    const hangs = { name: "hangs", run: async () => void (await collect(store.listRefs())) };
    await expect(bounded(hangs, underTest(store), shortMs)).rejects.toThrow(
      /pending calls of watched files: list blobs for [0-9]+ ms/,
    );
  });
});

describe("files that sync nothing", () => {
  it("ask the files below for no sync, and for all else", async () => {
    const sync = (): never => expect.unreachable("a sync");
    const files = unsyncedFiles({
      ...localNodeFiles,
      openForReading: async (path) => ({ ...(await localNodeFiles.openForReading(path)), sync }),
      openNow(path) {
        const file = localNodeFiles.openNow(path);
        return file && { ...file, sync };
      },
      create: async (path) => ({ ...(await localNodeFiles.create(path)), sync }),
      writeSynced: sync,
      syncDir: sync,
    });
    const store = directoryStore(join(dir, "unsynced"), { ports: { files } });
    const { ref } = await store.put(testBlob(1, 10));
    expect(await store.put(testBlob(1, 10))).toEqual({ ref, added: false });
    expect(await directoryStore(join(dir, "unsynced")).get(ref)).toEqual(testBlob(1, 10));
    expect(await collect(store.listRefs())).toEqual([ref]);
    expect(await store.delete?.(ref)).toBe(true);
  });
});
