import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { nodeFileSystem as disk, systemClock, systemRandomBytes } from "../src/system.js";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "coord-system-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the machine's file system", () => {
  it("writes many parts in order at a position, and reads them back", async () => {
    const handle = await disk.open(join(folder, "parts"), "create");
    const parts = Array.from({ length: 3000 }, (_, index) => new Uint8Array(index % 5).fill(index % 251));
    await handle.write(parts, 7);
    await handle.datasync();
    const expected = Buffer.concat([Buffer.alloc(7), ...parts]);
    assert.equal(await handle.size(), expected.byteLength);
    const into = new Uint8Array(expected.byteLength + 10);
    assert.equal(await handle.read(into, 0), expected.byteLength);
    assert.deepEqual(Buffer.from(into.subarray(0, expected.byteLength)), expected);
    assert.equal(await handle.read(new Uint8Array(4), expected.byteLength), 0);
    await handle.truncate(9);
    await handle.close();
    assert.equal((await readFile(join(folder, "parts"))).byteLength, 9);
  });

  it("creates only what is not there, and opens only what is", async () => {
    const path = join(folder, "once");
    await (await disk.open(path, "create")).close();
    await assert.rejects(disk.open(path, "create"), { code: "EEXIST" });
    for (const mode of ["read", "update"] as const) {
      await (await disk.open(path, mode)).close();
      await assert.rejects(disk.open(join(folder, "missing"), mode), { code: "ENOENT" });
    }
  });

  it("makes folders with their parents, lists, renames over and removes", async () => {
    const inner = join(folder, "a", "b", "c");
    await disk.makeDirectory(inner);
    await disk.makeDirectory(inner);
    for (const name of ["x", "y"]) await (await disk.open(join(inner, name), "create")).close();
    assert.deepEqual((await disk.list(inner)).sort(), ["x", "y"]);
    await disk.rename(join(inner, "x"), join(inner, "y"));
    await disk.syncDirectory(inner);
    assert.deepEqual(await disk.list(inner), ["y"]);
    assert.deepEqual(
      [await disk.exists(join(inner, "y")), await disk.exists(join(inner, "x"))],
      [true, false],
    );
    await disk.remove(join(inner, "y"));
    await disk.remove(join(inner, "y"));
    assert.deepEqual(await disk.list(inner), []);
    assert.deepEqual(await disk.list(join(folder, "missing")), []);
  });

  it("knows a local folder, also one that is not made yet", async () => {
    assert.equal(await disk.isLocal(folder), true);
    assert.equal(await disk.isLocal(join(folder, "not", "yet")), true);
  });
});

describe("the machine's clock and randomness", () => {
  it("calls back once, unless that was taken back", async () => {
    let taken = 0;
    systemClock.setTimer(1, () => taken++)();
    const startedMs = systemClock.monotonicMs();
    await new Promise<void>((resolve) => systemClock.setTimer(20, resolve));
    assert.ok(systemClock.monotonicMs() - startedMs >= 19);
    assert.equal(taken, 0);
  });

  it("gives as many bytes as asked, and others each time", () => {
    assert.equal(systemRandomBytes(16).byteLength, 16);
    assert.notDeepEqual(systemRandomBytes(16), systemRandomBytes(16));
  });
});
