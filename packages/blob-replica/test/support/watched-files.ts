import { basename } from "node:path";
import type { DirectoryStoreOptions } from "../../src/index.js";
import type { ReadableFile, StoreFiles, WritableFile } from "../../src/stores/files.js";
import { localNodeFiles, nodeFiles } from "../../src/stores/node-files.js";

interface PendingCall {
  readonly what: string;
  readonly sinceMs: number;
}

const pending = new Set<PendingCall>();

/** The calls of watched files that have not ended, the oldest first: each that hangs is old. None, or only young ones: then a wake-up was lost, or all is slow. */
export function pendingFileCalls(): string {
  const nowMs = performance.now();
  const calls = [...pending].sort((a, b) => a.sinceMs - b.sinceMs);
  return (
    calls.map(({ what, sinceMs }) => `${what} for ${Math.round(nowMs - sinceMs)} ms`).join(", ") || "none"
  );
}

async function watched<Result>(name: string, path: string, call: () => Promise<Result>): Promise<Result> {
  const entry = { what: `${name} ${basename(path)}`, sinceMs: performance.now() };
  pending.add(entry);
  try {
    return await call();
  } finally {
    pending.delete(entry);
  }
}

/** The same, and while a call runs, `pendingFileCalls` has it. */
export function watchedFiles(files: StoreFiles): StoreFiles {
  const readable = (path: string, file: ReadableFile): ReadableFile => ({
    bytes: file.bytes,
    read: (into, position) => watched("read", path, () => file.read(into, position)),
    sync: () => watched("sync", path, () => file.sync()),
    close: () => watched("close", path, () => file.close()),
  });
  const writable = (path: string, file: WritableFile): WritableFile => ({
    append: (bytes) => watched("append", path, () => file.append(bytes)),
    sync: () => watched("sync", path, () => file.sync()),
    close: () => watched("close", path, () => file.close()),
  });
  return {
    ...files,
    openForReading: async (path) =>
      readable(path, await watched("open", path, () => files.openForReading(path))),
    openNow(path) {
      const file = files.openNow(path);
      return file && readable(path, file);
    },
    create: async (path) => writable(path, await watched("create", path, () => files.create(path))),
    writeSynced: (path, bytes) => watched("writeSynced", path, () => files.writeSynced(path, bytes)),
    rename: (from, to) => watched("rename", to, () => files.rename(from, to)),
    remove: (path) => watched("remove", path, () => files.remove(path)),
    makeDir: (path) => watched("makeDir", path, () => files.makeDir(path)),
    list: (path) => watched("list", path, () => files.list(path)),
    syncDir: (path) => watched("syncDir", path, () => files.syncDir(path)),
    isDir: (path) => watched("isDir", path, () => files.isDir(path)),
    modifiedMs: (path) => watched("modifiedMs", path, () => files.modifiedMs(path)),
  };
}

/** The same without what makes it last over a power cut, which takes nearly all the time: the tests of power cuts and kills are about that. */
export function unsyncedFiles(files: StoreFiles): StoreFiles {
  const sync = async (): Promise<void> => {};
  const create = async (path: string): Promise<WritableFile> => ({ ...(await files.create(path)), sync });
  return {
    ...files,
    openForReading: async (path) => ({ ...(await files.openForReading(path)), sync }),
    openNow(path) {
      const file = files.openNow(path);
      return file && { ...file, sync };
    },
    create,
    async writeSynced(path, bytes) {
      const file = await files.create(path);
      try {
        await file.append(bytes);
      } finally {
        await file.close();
      }
    },
    syncDir: sync,
  };
}

/** For a directory store that runs the suite, which makes thousands of puts: it syncs nothing, and its calls are watched. `synced`: it syncs what it does otherwise. */
export function suiteOptions(options: DirectoryStoreOptions = {}, synced = false): DirectoryStoreOptions {
  const files = options.blockingReads === false ? nodeFiles : localNodeFiles;
  return {
    ...options,
    ports: { ...options.ports, files: watchedFiles(synced ? files : unsyncedFiles(files)) },
  };
}
