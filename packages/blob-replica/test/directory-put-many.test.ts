import { describe, expect, it } from "vitest";
import { type BlobStore, directoryStore, getMany, putMany, refOf } from "../src/index.js";
import { assertSameBytes, collect, testBlob } from "../src/testing/fixture.js";
import { PowerCutFiles } from "./support/power-cut-files.js";

const blobs = Array.from({ length: 300 }, (_, i) => testBlob(i, 200));

function open(files: PowerCutFiles): BlobStore {
  return directoryStore("/disk", { ports: { files } });
}

const temporaries = (files: PowerCutFiles): Promise<string[]> => files.list("/disk/tmp");

async function expectAllIn(store: BlobStore): Promise<void> {
  const found = await collect(getMany(store, blobs.map(refOf)));
  expect(found.length).toBe(blobs.length);
  for (const { ref, blob } of found) {
    assertSameBytes(blob as Uint8Array, blobs.find((each) => refOf(each) === ref) as Uint8Array);
  }
}

describe("putMany to a directory", () => {
  it("has what it said it put after any power cut, and syncs the folders that blobs share once for all", async () => {
    const files = new PowerCutFiles();
    const store = open(files);
    await store.put(testBlob(9999, 1));
    files.calls.length = 0;
    const results = await putMany(store, blobs);
    expect(results.map(({ added }) => added)).toEqual(blobs.map(() => true));
    expect(files.calls.filter((call) => call === "syncDir /disk/blobs").length).toBeLessThan(6);
    for (let seed = 1; seed <= 20; seed++) {
      let state = seed;
      const number = () => {
        state = (state * 48_271) % 2_147_483_647;
        return state / 2_147_483_647;
      };
      const random = { number, bytes: (count: number) => new Uint8Array(count) };
      await expectAllIn(open(files.afterPowerCut(random)));
    }
    expect(await temporaries(files)).toEqual([]);
  });

  it("says of each blob whether it could be put, when some of the calls fail, wherever that is", async () => {
    for (const what of ["create", "append", "sync", "rename", "makeDir", "syncDir"]) {
      const files = new PowerCutFiles();
      const store = open(files);
      await store.put(testBlob(9999, 1));
      let calls = 0;
      files.onCall = (call) => {
        if (!call.startsWith(`${what} `) || ++calls % 5 !== 0) return;
        throw Object.assign(new Error("the disk has a problem"), { code: "EIO" });
      };
      const results = await putMany(store, blobs);
      files.onCall = () => {};
      const failed = results.filter(({ error }) => error !== undefined);
      expect(failed.length, what).toBeGreaterThan(0);
      expect(failed.length, what).toBeLessThan(blobs.length);
      for (const { error } of failed) expect(error).toMatchObject({ code: "unavailable" });
      expect(await temporaries(files), what).toEqual([]);
      const after = open(
        files.afterPowerCut({ number: () => 0.99, bytes: (count) => new Uint8Array(count) }),
      );
      for (const [i, { error }] of results.entries()) {
        const blob = blobs[i] as Uint8Array;
        if (error === undefined) assertSameBytes(await after.get(refOf(blob)), blob);
      }
      for (const { error } of await putMany(store, blobs)) expect(error).toBeUndefined();
      await expectAllIn(store);
    }
  });

  it("makes folders again that somebody removes in the middle", async () => {
    const files = new PowerCutFiles();
    const store = open(files);
    await store.put(testBlob(9999, 1));
    let renames = 0;
    files.onCall = (call) => {
      // As often as it takes to fail in the batch, and not when that blob is tried again.
      if (call.startsWith("rename ") && ++renames <= 20) {
        throw Object.assign(new Error("no such folder"), { code: "ENOENT" });
      }
    };
    const results = await putMany(store, blobs);
    expect(results.map(({ added }) => added)).toEqual(blobs.map(() => true));
    await expectAllIn(store);
    expect(await temporaries(files)).toEqual([]);
  });

  it("adds a blob once that is there several times, in one batch and in others that run", async () => {
    const store = open(new PowerCutFiles());
    const twice = [...blobs, ...blobs.toReversed()];
    const single = Promise.all(blobs.slice(100, 200).map((blob) => store.put(blob)));
    const all = await Promise.all([putMany(store, twice), putMany(store, twice.toReversed())]);
    const added = new Map<string, number>();
    for (const result of [...all.flat(), ...(await single)]) {
      expect("error" in result && result.error).toBeFalsy();
      if (result.added) added.set(result.ref, (added.get(result.ref) ?? 0) + 1);
    }
    expect([...added.keys()].sort()).toEqual(blobs.map(refOf).sort());
    expect([...added.values()]).toEqual(blobs.map(() => 1));
    await expectAllIn(store);
  });

  it.each(["append", "rename", "syncDir"])(
    "ends with the reason of an abort in the middle (%s), and leaves no temporary file and no lock",
    async (what) => {
      const files = new PowerCutFiles();
      const store = open(files);
      await store.put(testBlob(9999, 1));
      const controller = new AbortController();
      const reason = new Error("enough");
      let calls = 0;
      files.onCall = (call) => {
        if (call.startsWith(`${what} `) && ++calls === 30) controller.abort(reason);
      };
      await expect(putMany(store, blobs, { signal: controller.signal })).rejects.toBe(reason);
      expect(await temporaries(files)).toEqual([]);
      for (const { error } of await putMany(store, blobs)) expect(error).toBeUndefined();
      await expectAllIn(store);
    },
  );

  it("finishes the batch that a disposal meets, and says of the others that it is closed", async () => {
    const files = new PowerCutFiles();
    const store = open(files);
    await store.put(testBlob(9999, 1));
    let disposed: PromiseLike<void> | undefined;
    files.onCall = (call) => {
      if (call.startsWith("rename ")) disposed ??= store[Symbol.asyncDispose]?.();
    };
    const results = (await store.putMany?.(Array.from({ length: 1_100 }, (_, i) => testBlob(i, 10)))) ?? [];
    await disposed;
    expect(results.slice(0, 1_024).every(({ added }) => added)).toBe(true);
    expect(results.length).toBe(1_100);
    for (const { error } of results.slice(1_024)) expect(error).toMatchObject({ code: "closed" });
    expect(await temporaries(files)).toEqual([]);
  });
});
