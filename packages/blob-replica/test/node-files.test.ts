import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeFiles } from "../src/stores/node-files.js";

describe("nodeFiles", () => {
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
      expect(() => nodeFiles.openNow(dir)).toThrow(expect.objectContaining({ code: "EISDIR" }));
      await writeFile(path, Buffer.of(1, 2, 3));
      const opened = nodeFiles.openNow(path);
      expect([opened?.bytes, await opened?.read(into, 1), into[0]]).toEqual([3, 2, 2]);
      await opened?.close();
      expect(nodeFiles.openNow(join(dir, "none"))).toBeUndefined();
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
