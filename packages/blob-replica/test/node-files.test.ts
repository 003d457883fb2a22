import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { isJournaled, nodeFiles } from "../src/stores/node-files.js";

describe("isJournaled", () => {
  const mounts = [
    "21 28 0:20 / /proc rw,nosuid - proc proc rw",
    "28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
    "29 1 8:17 / /data rw,relatime - ext4 /dev/sdb1 rw",
    "30 1 8:33 / /xfs rw,relatime shared:2 master:1 - xfs /dev/sdc1 rw,attr2",
    "31 1 0:55 / /overlay rw - overlay overlay rw,lowerdir=/a",
    "32 1 259:300 / /nvme rw - ext4 /dev/nvme0n1p1 rw",
    "",
  ].join("\n");
  const device = (major: number, minor: number) => (major << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12);

  it.each([
    ["ext4 with a journal", device(254, 0), ["vda-8"], true],
    ["ext4 without one", device(8, 17), ["vda-8", "sdb-8", "sdb11-8"], false],
    ["ext4 with one, on a partition", device(8, 17), ["sdb1-8"], true],
    ["ext4 on a device with a large number", device(259, 300), ["nvme0n1p1-8"], true],
    ["XFS", device(8, 33), [], true],
    ["an overlay", device(0, 55), ["vda-8"], false],
    ["a device that is mounted nowhere", device(8, 99), ["vda-8"], false],
  ])("%s", (_name, number, journals, expected) => {
    expect(isJournaled(number, mounts, journals)).toBe(expected);
    expect(isJournaled(number, "", journals)).toBe(false);
  });
});

describe("nodeFiles", () => {
  it("says of a real folder whether its file system has a journal, and of a missing one that it has not", async () => {
    expect(typeof (await nodeFiles.ordersRenames?.(tmpdir()))).toBe("boolean");
    expect(await nodeFiles.ordersRenames?.("/there/is/no/such/folder")).toBe(false);
    expect(await nodeFiles.ordersRenames?.("/proc")).toBe(false);
  });

  it("writes only new files, and reads what is there at once, up to what fits", async () => {
    const dir = await mkdtemp(join(tmpdir(), "blob-node-files-"));
    try {
      const path = join(dir, "file");
      const file = await nodeFiles.create(path);
      for (const bytes of [new Uint8Array([1, 2]), new Uint8Array(0), new Uint8Array([3])])
        await file.append(bytes);
      await file.sync();
      await file.close();
      await expect(nodeFiles.create(path)).rejects.toMatchObject({ code: "EEXIST" });
      const into = new Uint8Array(5);
      expect([nodeFiles.readNow(path, into), ...into]).toEqual([3, 1, 2, 3, 0, 0]);
      expect([nodeFiles.readNow(path, into.subarray(0, 2)), ...into.subarray(0, 2)]).toEqual([2, 1, 2]);
      await writeFile(path, "");
      expect(nodeFiles.readNow(path, into)).toBe(0);
      await expect(nodeFiles.openForReading(dir)).rejects.toMatchObject({ code: "EISDIR" });
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
