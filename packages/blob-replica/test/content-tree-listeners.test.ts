import { getEventListeners } from "node:events";
import { expect, it } from "vitest";
import { openBlobTree } from "../src/content/blob-tree.js";
import { split } from "../src/content/split.js";
import { BlobError, type BlobStore, memoryStore } from "../src/index.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { bare } from "./support/stores.js";

it("a tree leaves no listener on the caller's signal, wherever a read of it fails", async () => {
  const inner = memoryStore();
  const ref = await split(inner, testBlob(1, 1_500_000), { averageBytes: 1024 });
  let left = 0; // reads that succeed
  const store: BlobStore = {
    ...bare(inner),
    get: (asked, options) =>
      left-- > 0 ? inner.get(asked, options) : Promise.reject(new BlobError("unavailable", "it went away")),
  };
  const { signal } = new AbortController();
  for (let reads = 0; reads < 5; reads++) {
    left = 1;
    const tree = await openBlobTree(store, ref); // none of its other nodes is kept yet
    left = reads;
    await expect(collect(tree.stream({ signal }))).rejects.toMatchObject({ code: "unavailable" });
    left = reads;
    await expect(tree.read(100, 50_000, { signal })).rejects.toMatchObject({ code: "unavailable" });
    expect(getEventListeners(signal, "abort"), `after ${reads} reads`).toHaveLength(0);
  }
});
