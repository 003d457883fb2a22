import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReplica, directoryStore, memoryStore } from "@x/blob-replica";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { describe, it } from "vitest";
import { coordNames, memoryNames, openBlobArchive } from "../src/blob.js";
import { type SegmentArchiveUnderTest, segmentArchiveCases } from "../src/testing.js";
import { recording } from "./support/blob-world.js";

const inMemory = (chunkBytes?: number): SegmentArchiveUnderTest => ({
  async open() {
    const parts = { store: memoryStore(), names: memoryNames(), ...(chunkBytes && { chunkBytes }) };
    return {
      archive: openBlobArchive(parts),
      reopen: async () => openBlobArchive(parts),
      close: async () => {},
    };
  },
});

/** Two folders and a third store in the background, and names in a real embedded store. */
const inFolders: SegmentArchiveUnderTest = {
  async open() {
    const folder = await mkdtemp(join(tmpdir(), "blob-archive-"));
    const coord = await openEmbeddedCoord({ directory: join(folder, "coord") });
    const disks = ["1", "2"].map((name) => ({ name, store: directoryStore(join(folder, name)) }));
    const replica = await createReplica({
      sync: disks,
      async: [{ name: "far", store: memoryStore() }],
      queue: { dir: join(folder, "queue") },
    });
    // As another process: the queue is that of one.
    const reader = await createReplica({ sync: disks });
    const open = (store: typeof replica) =>
      recording(coord, openBlobArchive({ store, names: coordNames({ coord }), chunkBytes: 64 * 1024 }));
    return {
      archive: open(replica),
      reopen: async () => open(reader),
      async close() {
        await replica[Symbol.asyncDispose]();
        await reader[Symbol.asyncDispose]();
        await coord.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  },
};

describe("an archive in memory", () => {
  for (const { name, run } of segmentArchiveCases) it(name, () => run(inMemory()));
});
describe("an archive in memory whose chunks are as small as they can be", () => {
  for (const { name, run } of segmentArchiveCases) it(name, () => run(inMemory(4096)));
});
describe("an archive in a replica of two folders, with names in an embedded store", () => {
  for (const { name, run } of segmentArchiveCases) it(name, { timeout: 60_000 }, () => run(inFolders));
});
