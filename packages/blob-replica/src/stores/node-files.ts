/** The file system of Node. With callbacks: promises of `node:fs/promises` and its FileHandle cost as much again as the calls. */
import fs from "node:fs";
import { hasDurableWrites } from "../system.js";
import type { ReadableFile, StoreFiles, WritableFile } from "./files.js";

type Callback<Result> = (error: Error | null, result: Result) => void;

function call<Result>(start: (callback: Callback<Result>) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}

/** One call of the system takes at most 2 GiB, and the pool has others to serve. */
const bytesPerCall = 64 * 1024 * 1024;

/** Nothing that may wait for a disk or a network is done on the caller's thread, but for `openNow` and `readNow`. */
export const nodeFiles: StoreFiles = filesWith({
  status: (fd) => call<fs.Stats>((done) => fs.fstat(fd, done)),
  close: (fd) => call<void>((done) => fs.close(fd, done)),
  openDir: (path) => call<number>((done) => fs.open(path, "r", done)),
});

/**
 * The same, and what a local file system answers from its memory is asked for without leaving the thread: the status of a file that is open, a folder that was just
 * written to, a close. A turn of the thread pool costs several times as much as these calls, and every blob needs some of them.
 */
export const localNodeFiles: StoreFiles = filesWith({
  status: async (fd) => fs.fstatSync(fd),
  close: async (fd) => fs.closeSync(fd),
  openDir: async (path) => fs.openSync(path, "r"),
});

/** Of a new file that is written as if by `fdatasync` after each write. */
const syncedFlags = hasDurableWrites
  ? fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_DSYNC
  : undefined;

function filesWith(quick: {
  status(fd: number): Promise<fs.Stats>;
  close(fd: number): Promise<void>;
  openDir(path: string): Promise<number>;
}): StoreFiles {
  const { status, close, openDir } = quick;
  const readable = (fd: number, bytes: number): ReadableFile => ({
    bytes,
    read: (into, position) =>
      call((done) => fs.read(fd, into, 0, Math.min(into.length, bytesPerCall), position, done)),
    sync: () => call<void>((done) => fs.fdatasync(fd, done)),
    close: () => close(fd),
  });
  const writable = (fd: number): WritableFile => ({
    append: (bytes) => writeAll(fd, bytes),
    sync: () => call<void>((done) => fs.fdatasync(fd, done)),
    close: () => close(fd),
  });
  return {
    async openForReading(path): Promise<ReadableFile> {
      const fd = await call<number>((done) => fs.open(path, "r", done));
      try {
        return readable(fd, sizeOf(path, await status(fd)));
      } catch (error) {
        await close(fd);
        throw error;
      }
    },

    openNow(path): ReadableFile | undefined {
      if (fs.statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
      const fd = fs.openSync(path, "r");
      try {
        return readable(fd, sizeOf(path, fs.fstatSync(fd)));
      } catch (error) {
        fs.closeSync(fd);
        throw error;
      }
    },

    create: async (path) => writable(await call<number>((done) => fs.open(path, "wx", done))),

    async writeSynced(path, bytes) {
      const fd = await call<number>((done) => fs.open(path, syncedFlags ?? "wx", done));
      try {
        await writeAll(fd, bytes);
        if (syncedFlags === undefined) await call<void>((done) => fs.fdatasync(fd, done));
      } catch (error) {
        await close(fd).catch(() => {});
        throw error;
      }
      await close(fd);
    },

    rename: (from, to) => call<void>((done) => fs.rename(from, to, done)),
    remove: (path) => call<void>((done) => fs.unlink(path, done)),
    makeDir: (path) => call<string | undefined>((done) => fs.mkdir(path, { recursive: true }, done)),
    list: (path) => call<string[]>((done) => fs.readdir(path, done)),

    async syncDir(path) {
      const fd = await openDir(path);
      try {
        await call<void>((done) => fs.fsync(fd, done));
      } finally {
        await close(fd);
      }
    },

    async isDir(path) {
      try {
        return (await call<fs.Stats>((done) => fs.stat(path, done))).isDirectory();
      } catch {
        return false;
      }
    },

    modifiedMs: async (path) => (await call<fs.Stats>((done) => fs.stat(path, done))).mtimeMs,

    readNow(path, into) {
      const fd = fs.openSync(path, "r");
      try {
        return fs.readSync(fd, into, 0, into.length, 0);
      } finally {
        fs.closeSync(fd);
      }
    },
  };
}

async function writeAll(fd: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, bytesPerCall);
    at += await call<number>((done) => fs.write(fd, bytes, at, length, null, done));
  }
}

function sizeOf(path: string, found: fs.Stats): number {
  if (found.isDirectory()) throw Object.assign(new Error(`${path} is a folder`), { code: "EISDIR" });
  return found.size;
}
