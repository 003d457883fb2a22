import { describe, expect, it } from "vitest";
import type { Random } from "../src/clock.js";
import { BlobError, type BlobStore, directoryStore, putMany, refOf } from "../src/index.js";
import { assertSameBytes, collect, testBlob } from "../src/testing/fixture.js";
import { PowerCutFiles } from "./support/power-cut-files.js";

/** Lehmer's generator (Park and Miller, 1988). */
function seeded(seed: number): Random {
  let state = seed + 1;
  const number = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  return { number, bytes: (count) => Uint8Array.from({ length: count }, () => number() * 256) };
}

function open(files: PowerCutFiles, seed = 0): BlobStore {
  return directoryStore("/disk/store", { ports: { files, random: seeded(seed) } });
}

async function untilPowerCut(work: () => Promise<unknown>): Promise<void> {
  await work().catch((error: unknown) => {
    if (!(error instanceof BlobError)) throw error;
  });
}

const blobs = Array.from({ length: 12 }, (_, i) => testBlob(i, i * 50));

describe("directoryStore after a power cut", () => {
  it("has every blob that it acknowledged, whenever the power went, and never another content", async () => {
    for (let cutAt = 1; ; cutAt++) {
      const files = new PowerCutFiles();
      const acknowledged = new Set<Uint8Array>();
      let cut: PowerCutFiles | undefined;
      let had: Uint8Array[] = [];
      let calls = 0;
      files.onCall = () => {
        if (cut) throw Object.assign(new Error("the power is out"), { code: "EIO" });
        if (++calls === cutAt) {
          cut = files.afterPowerCut(seeded(cutAt));
          had = [...acknowledged];
          throw Object.assign(new Error("the power is out"), { code: "EIO" });
        }
      };
      const store = open(files);
      await untilPowerCut(async () => {
        for (let at = 0; at < blobs.length; at += 4) {
          // The first ones twice at once, and again: who is told that a blob is there may count on it, too.
          await Promise.all(
            [...blobs.slice(at, at + 4), ...blobs.slice(0, 2)].map(async (blob) => {
              await store.put(blob);
              acknowledged.add(blob);
            }),
          );
        }
      });
      if (cut === undefined) break;
      const after = open(cut, 1);
      for (const blob of had) assertSameBytes(await after.get(refOf(blob)), blob, `cut at ${cutAt}: a blob`);
      for (const ref of await collect(after.listRefs())) {
        await after.get(ref).catch((error: unknown) => expect(error).toMatchObject({ code: "corrupt" }));
      }
      // And it goes on from there.
      for (const { added } of await putMany(after, blobs)) expect(added).toBeDefined();
      for (const blob of blobs) assertSameBytes(await after.get(refOf(blob)), blob);
      expect(cutAt).toBeLessThan(2000);
    }
  }, 120_000);

  it("has a deleted blob no more", async () => {
    const files = new PowerCutFiles();
    const store = open(files);
    for (const blob of blobs) await store.put(blob);
    for (const blob of blobs) await store.delete?.(refOf(blob));
    for (let seed = 0; seed < 20; seed++) {
      expect(await collect(open(files.afterPowerCut(seeded(seed))).listRefs())).toEqual([]);
    }
  });

  it("counts on a blob that another process wrote only after it has synced it", async () => {
    const files = new PowerCutFiles();
    await open(files).put(testBlob(99, 1));
    const blob = testBlob(1, 1000);
    const ref = refOf(blob);
    // As the file store of bobg/bs v0.4.0 writes it: in place, and without a sync.
    await files.makeDir(`/disk/store/blobs/${ref.slice(0, 2)}/${ref.slice(0, 4)}`);
    const file = await files.create(`/disk/store/blobs/${ref.slice(0, 2)}/${ref.slice(0, 4)}/${ref}`);
    await file.append(blob);
    expect((await open(files, 1).put(blob)).added).toBe(false);
    for (let seed = 0; seed < 20; seed++) {
      assertSameBytes(await open(files.afterPowerCut(seeded(seed))).get(ref), blob);
    }
  });

  it("counts on no folder whose name another put could not sync, or has not synced yet", async () => {
    const byTop = new Map<string, Uint8Array>();
    let pair: readonly [Uint8Array, Uint8Array] | undefined;
    for (let n = 0; pair === undefined; n++) {
      const blob = testBlob(n, 100);
      const other = byTop.get(refOf(blob).slice(0, 2));
      if (other) pair = [other, blob];
      byTop.set(refOf(blob).slice(0, 2), blob);
    }
    const [first, second] = pair;
    for (const together of [false, true]) {
      const files = new PowerCutFiles();
      const store = open(files);
      await store.put(testBlob(9999, 10));
      let left = 1;
      files.onCall = (call) => {
        if (call !== "syncDir /disk/store/blobs" || left-- <= 0) return;
        throw Object.assign(new Error("the disk has a problem"), { code: "EIO" });
      };
      const failing = expect(store.put(first)).rejects.toMatchObject({ code: "unavailable" });
      if (!together) await failing;
      // Together they may share the sync that fails.
      const had = await store.put(second).then(
        () => true,
        () => false,
      );
      await failing;
      if (!together) expect(had).toBe(true);
      for (let seed = 0; had && seed < 20; seed++) {
        assertSameBytes(await open(files.afterPowerCut(seeded(seed))).get(refOf(second)), second);
      }
    }
  });

  it("syncs a folder once for all who wait for it", async () => {
    const files = new PowerCutFiles();
    const store = open(files);
    await store.put(testBlob(1, 10));
    files.calls.length = 0;
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.put(testBlob(1000 + i, 10))));
    const top = files.calls.filter((call) => call === "syncDir /disk/store/blobs").length;
    expect(top).toBeGreaterThan(0);
    expect(top).toBeLessThan(20);
  });
});
