import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import type { QueueFiles } from "@x/blob-replica";

export interface FileCounts {
  appends: number;
  syncs: number;
}

/** The file system of Node, for a queue, and how often the queue wrote to a file and synced one. */
export function countingFiles(): { readonly files: QueueFiles; readonly counts: FileCounts } {
  const counts: FileCounts = { appends: 0, syncs: 0 };
  const files: QueueFiles = {
    async openForReading(path) {
      const file = await open(path, "r");
      return {
        bytes: (await file.stat()).size,
        read: async (into, position) => (await file.read(into, 0, into.length, position)).bytesRead,
        sync: () => file.datasync(),
        close: () => file.close(),
      };
    },
    async create(path) {
      const file = await open(path, "wx");
      return {
        async append(bytes) {
          counts.appends++;
          await file.writeFile(bytes); // at the file's position, all of them
        },
        async sync() {
          counts.syncs++;
          await file.datasync();
        },
        close: () => file.close(),
      };
    },
    rename,
    remove: (path) => rm(path),
    makeDir: (path) => mkdir(path, { recursive: true }),
    list: (path) => readdir(path),
    async syncDir(path) {
      counts.syncs++;
      const folder = await open(path, "r");
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    },
    modifiedMs: async (path) => (await stat(path)).mtimeMs,
  };
  return { files, counts };
}
