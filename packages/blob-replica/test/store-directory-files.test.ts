import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type BlobErrorCode,
  type BlobStore,
  directoryRefMap,
  directoryStore,
  getMany,
  parseRef,
  putMany,
  refOf,
  streamBlob,
} from "../src/index.js";
import { nodeFiles } from "../src/stores/node-files.js";
import { systemProcess } from "../src/system.js";
import { assertSameBytes, collect, testBlob, testBlobs } from "../src/testing/fixture.js";
import { PowerCutFiles } from "./support/power-cut-files.js";
import { fileOf } from "./support/stores.js";

let dir: string;
let store: BlobStore;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "blob-files-"));
  store = directoryStore(dir);
});

afterEach(() => rm(dir, { recursive: true, force: true }));

describe("the files of directoryStore", () => {
  it("are where bobg/bs v0.4.0 has them, and hold the content as it is", async () => {
    // SHA-256 of "abc": FIPS 180-4, appendix.
    const { ref } = await store.put(new TextEncoder().encode("abc"));
    expect(ref).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const path = join(dir, "blobs", "ba", "ba78", ref);
    expect(await readFile(path, "utf8")).toBe("abc");
    expect(await readdir(join(dir, "tmp"))).toEqual([]);
  });

  it("that somebody else wrote there are its blobs", async () => {
    const { blobs, refs } = testBlobs(30, 100);
    for (const blob of blobs) {
      const path = fileOf(dir, refOf(blob));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, blob);
    }
    await writeFile(join(dir, "anchormapref"), new Uint8Array(32)); // bobg/bs has it beside `blobs`
    expect(await collect(store.listRefs())).toEqual(refs);
    for (const blob of blobs) assertSameBytes(await store.get(refOf(blob)), blob);
    expect((await putMany(store, blobs)).every(({ added }) => added === false)).toBe(true);
  });

  it("are the only ones that are listed", async () => {
    const { ref } = await store.put(testBlob(1, 100));
    const [top, leaf] = [
      join(dir, "blobs", ref.slice(0, 2)),
      join(dir, "blobs", ref.slice(0, 2), ref.slice(0, 4)),
    ];
    await writeFile(join(leaf, "notes.txt"), "mine");
    await writeFile(join(leaf, ref.toUpperCase()), "upper case");
    await writeFile(join(leaf, `${ref}.part`), "part");
    await writeFile(join(leaf, "0".repeat(64)), "in the folder of others");
    await writeFile(join(top, "0000"), "a file for a folder");
    await writeFile(join(dir, "blobs", "zz"), "no hex");
    await writeFile(join(dir, "blobs", "00"), "a file for a folder");
    await mkdir(join(dir, "blobs", "lost+found"));
    expect(await collect(store.listRefs())).toEqual([ref]);
  });

  it("are served cut off at no length, as a get, a batch or a stream", async () => {
    const blob = testBlob(1, 600_000);
    const { ref } = await store.put(blob);
    for (const length of [599_999, 524_288, 262_145, 262_144, 65_537, 65_536, 4096, 1, 0]) {
      await truncate(fileOf(dir, ref), length);
      await expect(store.get(ref)).rejects.toMatchObject({ code: "corrupt" });
      const [result] = await collect(getMany(store, [ref]));
      expect(result?.error).toMatchObject({ code: "corrupt" });
      let streamed = 0;
      const stream = async () => {
        for await (const piece of streamBlob(store, ref)) streamed += piece.length;
      };
      await expect(stream()).rejects.toMatchObject({ code: "corrupt" });
      expect(streamed).toBeLessThan(Math.max(1, length));
    }
    await writeFile(fileOf(dir, ref), Buffer.concat([blob, blob]));
    await expect(store.get(ref)).rejects.toMatchObject({ code: "corrupt" });
    expect((await store.put(blob)).added).toBe(true);
    assertSameBytes(await store.get(ref), blob);
  });

  it("may be many more than a slice of a batch, small and large, torn and missing", async () => {
    const blobs = Array.from({ length: 300 }, (_, i) => testBlob(i, i % 50 === 7 ? 100_000 : i * 3));
    await putMany(store, blobs);
    const refs = blobs.map(refOf);
    await truncate(fileOf(dir, refs[7] as string), 50_000);
    await truncate(fileOf(dir, refs[8] as string), 0);
    await store.delete?.(refs[9] as never);
    const results = await collect(getMany(store, refs));
    expect(results.length).toBe(300);
    for (const { ref, blob, error } of results) {
      const i = refs.indexOf(ref);
      if (blob) assertSameBytes(blob, blobs[i] as Uint8Array);
      else expect([i, error]).toMatchObject([i, { code: i === 9 ? "not-found" : "corrupt" }]);
    }
    expect(results.filter(({ error }) => error).length).toBe(3);
  });

  it("with a folder or nothing readable in the place of one are errors, and do not stop the others", async () => {
    const { blobs } = testBlobs(3, 100);
    await putMany(store, blobs);
    const [one, two, three] = blobs.map(refOf) as [never, never, never];
    await rm(fileOf(dir, one));
    await mkdir(fileOf(dir, one));
    await rm(fileOf(dir, two));
    await symlink(fileOf(dir, two), fileOf(dir, two));
    await expect(store.get(one)).rejects.toMatchObject({ code: "corrupt" });
    await expect(store.get(two)).rejects.toMatchObject({ code: "unavailable" });
    expect((await store.get(three)).length).toBe(100);
    expect((await store.put(blobs[1] as Uint8Array)).added).toBe(true); // over the link
    expect((await store.get(two)).length).toBe(100);
  });
});

describe("the temporary files of directoryStore", () => {
  const mine = systemProcess();
  const [host, boot, space] = mine.token.split(".");

  it("of processes that are dead are removed before the first put, and others are not", async () => {
    await mkdir(join(dir, "tmp"));
    const name = (token: string) => `${token}-0123456789abcdef-7`;
    const reused = name([host, boot, space, process.pid, "1"].join("."));
    const dead = name([host, boot, space, 2 ** 22 + 1, "1"].join(".")); // above the largest number of a process
    const before = name([host, "00000000", space, process.pid, "1"].join(".")); // another boot
    const live = name(mine.token);
    const elsewhere = name("00000000.11111111.4.5.6");
    const foreign = "somebody's notes";
    for (const file of [reused, dead, before, live, elsewhere, foreign])
      await writeFile(join(dir, "tmp", file), "x");
    await store.put(testBlob(1, 10));
    expect((await readdir(join(dir, "tmp"))).sort()).toEqual([live, elsewhere, foreign].sort());
  });

  it("of processes that nobody can ask about are removed after a day", async () => {
    await mkdir(join(dir, "tmp"));
    const elsewhere = join(dir, "tmp", "00000000.11111111.4.5.6-0123456789abcdef-7");
    await writeFile(elsewhere, "x");
    for (const [hours, there] of [
      [23, true],
      [25, false],
    ] as const) {
      const clock = {
        wallMs: () => Date.now() + hours * 3_600_000,
        monotonicMs: () => 0,
        setTimer: () => () => {},
      };
      await directoryStore(dir, { ports: { clock } }).put(testBlob(hours, 10));
      expect(existsSync(elsewhere)).toBe(there);
    }
  });

  it("may be taken away from a live process: it writes them again", async () => {
    let taken = 0;
    const files = {
      ...nodeFiles,
      async rename(from: string, to: string) {
        if (taken++ === 0) await nodeFiles.remove(from);
        await nodeFiles.rename(from, to);
      },
    };
    const blob = testBlob(1, 1000);
    expect((await directoryStore(dir, { ports: { files } }).put(blob)).added).toBe(true);
    expect(taken).toBe(2);
    assertSameBytes(await store.get(refOf(blob)), blob);
  });

  it("are removed when a put fails or is aborted", async () => {
    const disk = new PowerCutFiles();
    const full = directoryStore("/disk", { ports: { files: disk } });
    await full.put(testBlob(1, 10));
    for (const step of ["append", "sync", "rename"]) {
      disk.onCall = (call) => {
        if (call.startsWith(step)) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      };
      await expect(full.put(testBlob(2, 10))).rejects.toMatchObject({ code: "full" });
      disk.onCall = () => {};
      expect(await disk.list("/disk/tmp")).toEqual([]);
      const controller = new AbortController();
      const reason = { why: "enough" };
      disk.onCall = (call) => {
        if (call.startsWith(step)) controller.abort(reason);
      };
      const put = full.put(testBlob(3, 10), { signal: controller.signal });
      if (step === "rename")
        await put; // too late
      else await expect(put).rejects.toBe(reason);
      expect(await disk.list("/disk/tmp")).toEqual([]);
    }
    expect((await full.put(testBlob(2, 10))).added).toBe(true);
  });
});

describe("a folder that does not play along", () => {
  const cases: readonly (readonly [string, BlobErrorCode])[] = [
    ["ENOSPC", "full"],
    ["EDQUOT", "full"],
    ["EROFS", "refused"],
    ["EACCES", "refused"],
    ["EPERM", "refused"],
    ["EIO", "unavailable"],
    ["EMFILE", "unavailable"],
  ];

  it.each(cases)("%s is %s, with a sentence and the folder, and passes", async (system, code) => {
    const files = new PowerCutFiles();
    const store = directoryStore("/disk/store", { ports: { files } });
    const kept = testBlob(1, 100);
    await store.put(kept);
    const steps = ["create", "append", "sync /disk/store/tmp", "makeDir", "rename", "syncDir"];
    for (const [i, step] of steps.entries()) {
      files.onCall = (call) => {
        if (call.startsWith(step)) throw Object.assign(new Error("injected"), { code: system });
      };
      const blob = testBlob(10 + i, 100);
      const error = await store.put(blob).catch((failure: unknown) => failure);
      expect(error).toMatchObject({ code, cause: { code: system } });
      expect(String(error)).toContain("/disk/store");
      const [result] = await putMany(store, [blob]);
      expect(result).toMatchObject({ ref: refOf(blob), error: { code } });
      assertSameBytes(await store.get(refOf(kept)), kept);
      files.onCall = () => {};
      await store.put(blob);
      assertSameBytes(await store.get(refOf(blob)), blob);
      await store.delete?.(refOf(blob));
    }
  });

  it("is read all the same when it cannot be written", async () => {
    const { blobs, refs } = testBlobs(5, 100);
    await putMany(store, blobs);
    const readOnly = async () => {
      throw Object.assign(new Error("read-only"), { code: "EROFS" });
    };
    const files = { ...nodeFiles, create: readOnly, rename: readOnly, remove: readOnly };
    const opened = directoryStore(dir, { ports: { files } });
    expect(await collect(opened.listRefs())).toEqual(refs);
    for (const blob of blobs) assertSameBytes(await opened.get(refOf(blob)), blob);
    expect((await opened.put(blobs[0] as Uint8Array)).added).toBe(false);
    await expect(opened.put(testBlob(9, 9))).rejects.toMatchObject({ code: "refused" });
    await expect(opened.delete?.(refs[0] as never)).rejects.toMatchObject({ code: "refused" });
  });

  it("is no empty store when it has to be there", async () => {
    const missing = directoryStore(join(dir, "mount"), { create: false });
    const ref = refOf(testBlob(1, 1));
    await expect(missing.get(ref)).rejects.toMatchObject({ code: "unavailable" });
    await expect(missing.put(testBlob(1, 1))).rejects.toMatchObject({ code: "unavailable" });
    await expect(missing.has?.(ref)).rejects.toMatchObject({ code: "unavailable" });
    await expect(collect(missing.listRefs())).rejects.toMatchObject({ code: "unavailable" });
    await expect(collect(streamBlob(missing, ref))).rejects.toMatchObject({ code: "unavailable" });
    expect((await collect(getMany(missing, [ref])))[0]?.error).toMatchObject({ code: "unavailable" });
    expect(existsSync(join(dir, "mount"))).toBe(false);
    await mkdir(join(dir, "mount"));
    await expect(missing.get(ref)).rejects.toMatchObject({ code: "not-found" });
    expect((await missing.put(testBlob(1, 1))).added).toBe(true);
  });

  it("is a file: unavailable", async () => {
    const path = join(dir, "file");
    await writeFile(path, "x");
    const store = directoryStore(path);
    await expect(store.put(testBlob(1, 1))).rejects.toMatchObject({ code: "unavailable" });
    await expect(store.get(refOf(testBlob(1, 1)))).rejects.toMatchObject({ code: "unavailable" });
  });

  it("is no path: refused when the store is made", () => {
    for (const bad of ["", "a\0b", undefined, 7]) {
      expect(() => directoryStore(bad as string)).toThrowError(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });

  it("may lose its folders while the store is open", async () => {
    await store.put(testBlob(1, 1));
    await rm(join(dir, "blobs"), { recursive: true });
    await rm(join(dir, "tmp"), { recursive: true });
    expect(await collect(store.listRefs())).toEqual([]);
    for (let i = 0; i < 3; i++) await store.put(testBlob(i, 100));
    expect((await collect(store.listRefs())).length).toBe(3);
  });
});

describe("directoryStore when closed", () => {
  it("fails every call as closed, and has finished what it was doing", async () => {
    const blob = testBlob(1, 100_000);
    const put = store.put(blob);
    await store[Symbol.asyncDispose]?.();
    expect((await put).added).toBe(true);
    const ref = refOf(blob);
    for (const call of [
      store.get(ref),
      store.put(blob),
      store.has?.(ref),
      store.delete?.(ref),
      store.putMany?.([blob]),
      collect(store.listRefs()),
    ]) {
      await expect(call).rejects.toMatchObject({ code: "closed" });
    }
  });
});

describe("directoryRefMap", () => {
  const [one, two] = testBlobs(2).refs as [never, never];

  it("keeps refs over restarts, replaces and deletes them", async () => {
    await directoryRefMap(dir).set(one, two);
    expect(await directoryRefMap(dir).get(one)).toBe(two);
    const refs = directoryRefMap(dir);
    await refs.set(one, one);
    expect(await refs.get(one)).toBe(one);
    expect(await refs.get(two)).toBeUndefined();
    expect(await refs.delete(one)).toBe(true);
    expect(await refs.delete(one)).toBe(false);
    expect(await directoryRefMap(dir).get(one)).toBeUndefined();
  });

  it("takes what is torn, changed or another's for nothing", async () => {
    const refs = directoryRefMap(dir);
    await refs.set(one, two);
    const path = join(dir, "refs", parseRef(one).slice(0, 2), parseRef(one).slice(0, 4), one);
    const whole = await readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      expect(await refs.get(one)).toBeUndefined();
    }
    await writeFile(path, Buffer.concat([whole, Buffer.of(1)]));
    expect(await refs.get(one)).toBeUndefined();
    await refs.set(two, one);
    await writeFile(
      path,
      await readFile(join(dir, "refs", parseRef(two).slice(0, 2), parseRef(two).slice(0, 4), two)),
    );
    expect(await refs.get(one)).toBeUndefined();
    await refs.set(one, two);
    expect(await refs.get(one)).toBe(two);
  });
});
