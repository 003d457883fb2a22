import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fileHeaderBytes } from "../src/embedded/frames.js";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import { FakeClock } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

function open(fileSystem: MemoryFileSystem): Promise<EmbeddedCoord> {
  return openEmbeddedCoord({ directory: "/store", fileSystem, clock: new FakeClock() });
}

/** A store that was left without notice after some writes, one frame each; and where each frame ends. */
async function written(
  values: readonly (string | Uint8Array)[],
): Promise<{ disk: MemoryFileSystem; ends: number[] }> {
  const disk = new MemoryFileSystem();
  const coord = await open(disk);
  const ends: number[] = [];
  for (const value of values) {
    await coord.txn({ then: [{ type: "put", key: "k", value }] });
    ends.push(fileNamed(disk, "wal").byteLength);
  }
  return { disk: disk.afterCut(() => false), ends };
}

function fileNamed(disk: MemoryFileSystem, kind: string): Uint8Array {
  const path = disk.paths().find((candidate) => candidate.startsWith(`/store/${kind}`));
  assert.ok(path);
  return disk.contentOf(path);
}

async function isCorrupt(disk: MemoryFileSystem): Promise<boolean> {
  return await open(disk).then(
    () => false,
    (error) => {
      assert.ok(error instanceof CoordError, String(error));
      assert.equal(error.code, "corrupt");
      return true;
    },
  );
}

describe("damage to the files", () => {
  const values = ["0", "1", "2"];

  it("is reported wherever a byte of the log is wrong that a sound frame follows", async () => {
    const { disk, ends } = await written(values);
    for (let at = 0; at < ends[1]!; at++) {
      const copy = disk.afterCut(() => true);
      fileNamed(copy, "wal")[at]! ^= 0x40;
      assert.ok(await isCorrupt(copy), `byte ${at}`);
    }
  });

  it("is reported wherever a byte of the snapshot is wrong", async () => {
    const { disk } = await written(values);
    const length = fileNamed(disk, "snapshot").byteLength;
    for (let at = 0; at < length; at++) {
      const copy = disk.afterCut(() => true);
      fileNamed(copy, "snapshot")[at]! ^= 0x01;
      assert.ok(await isCorrupt(copy), `byte ${at}`);
    }
  });

  it("at the end of the log is a write that was cut off, and is cut", async () => {
    const { disk, ends } = await written(values);
    for (let end = ends[1]!; end < ends[2]!; end++) {
      const copy = disk.afterCut(() => true);
      const path = copy.paths().find((candidate) => candidate.startsWith("/store/wal"))!;
      await (await copy.open(path, "update")).truncate(end);
      const coord = await open(copy);
      assert.equal(new TextDecoder().decode((await coord.get({ key: "k" })).kvs[0]?.value), "1");
      await coord.close();
    }
  });

  it("at the end may also be zeros or anything else", async () => {
    for (const filler of [0x00, 0xff, 0xc3]) {
      const { disk, ends } = await written(values);
      const path = disk.paths().find((candidate) => candidate.startsWith("/store/wal"))!;
      await (await disk.open(path, "update")).write([new Uint8Array(5000).fill(filler)], ends[2]!);
      const coord = await open(disk);
      assert.equal(new TextDecoder().decode((await coord.get({ key: "k" })).kvs[0]?.value), "2");
    }
  });

  it("can't be faked by a value that looks like a frame", async () => {
    // The value is the log of another store, and it is in the write that was cut off.
    const other = await written(values);
    const forged = fileNamed(other.disk, "wal");
    const { disk, ends } = await written(["0", forged]);
    fileNamed(disk, "wal")[ends[0]!]! ^= 0xff;
    const coord = await open(disk);
    assert.equal(new TextDecoder().decode((await coord.get({ key: "k" })).kvs[0]?.value), "0");
  });

  it("includes a log or a snapshot that is missing", async () => {
    for (const kind of ["wal", "snapshot"]) {
      const { disk } = await written(values);
      await disk.remove(disk.paths().find((path) => path.startsWith(`/store/${kind}`))!);
      assert.ok(await isCorrupt(disk), kind);
    }
  });

  it("changes nothing: what was found is there for somebody to look at", async () => {
    const { disk } = await written(values);
    fileNamed(disk, "wal")[fileHeaderBytes + 30]! ^= 0xff;
    const before = disk.paths().map((path) => [path, [...disk.contentOf(path)]]);
    assert.ok(await isCorrupt(disk));
    assert.ok(await isCorrupt(disk));
    const after = disk.paths().map((path) => [path, [...disk.contentOf(path)]]);
    for (const file of before)
      assert.ok(after.some((other) => JSON.stringify(other) === JSON.stringify(file)));
  });

  it("does not mean files of somebody else in the folder, which stay", async () => {
    const { disk } = await written(values);
    await disk.open("/store/notes.txt", "create");
    await open(disk);
    assert.ok(disk.paths().includes("/store/notes.txt"));
  });
});
