import { memoryStore, type Replica } from "@x/blob-replica";
import type { BlobArchive, CollectReport } from "@x/topic-gateway/blob";
import { describe, expect, it } from "vitest";
import { startUpkeep } from "../src/archive/upkeep.js";
import type { Log } from "../src/log.js";

describe("the upkeep of the archive", () => {
  /** What it logs as an error of the first collection that has something to tell. */
  async function complaintOf(report: Partial<CollectReport>): Promise<{ message: string; cause: unknown }> {
    const store = memoryStore();
    return await new Promise((resolve) => {
      const log: Log = {
        info: () => {},
        error: (message, cause) => resolve({ message, cause }),
        debug: () => {},
        buffer: () => {},
        registry: () => {},
      };
      const blobs: Pick<BlobArchive, "collect"> = {
        collect: async () => ({ kept: 0, deleted: 0, waiting: 0, failed: 0, skipped: 0, ...report }),
      };
      const upkeep = startUpkeep({
        blobs: blobs as BlobArchive,
        // With one folder and no bucket nobody asks it.
        replica: {} as Replica,
        folders: [{ name: "one", store }],
        far: undefined,
        log: { ...log, debug: () => void upkeep[Symbol.asyncDispose]() },
        collectMs: 1,
      });
    });
  }

  it("tells how many blobs could not be deleted, and how many were not tried after that", async () => {
    const firstFailure = new Error("the disk is away");
    expect(await complaintOf({ waiting: 5100, failed: 115, skipped: 4885, firstFailure })).toEqual({
      message:
        "115 blobs of the archive's garbage can't be deleted, and 4885 more were not tried after that; all 5000 wait for the next time",
      cause: firstFailure,
    });
    expect(await complaintOf({ waiting: 9, failed: 3, firstFailure })).toEqual({
      message: "3 blobs of the archive's garbage can't be deleted, and wait for the next time",
      cause: firstFailure,
    });
  });
});
