/** The file system of Node. With callbacks: promises of `node:fs/promises` and its FileHandle cost as much again as the calls. */
import fs from "node:fs";
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

export const nodeFiles: StoreFiles = {
  async openForReading(path): Promise<ReadableFile> {
    const fd = await call<number>((done) => fs.open(path, "r", done));
    let bytes: number;
    try {
      const status = await call<fs.Stats>((done) => fs.fstat(fd, done));
      if (status.isDirectory()) throw Object.assign(new Error(`${path} is a folder`), { code: "EISDIR" });
      bytes = status.size;
    } catch (error) {
      await close(fd);
      throw error;
    }
    return {
      bytes,
      read: (into, position) =>
        call((done) => fs.read(fd, into, 0, Math.min(into.length, bytesPerCall), position, done)),
      sync: () => call<void>((done) => fs.fdatasync(fd, done)),
      close: () => close(fd),
    };
  },

  async create(path): Promise<WritableFile> {
    const fd = await call<number>((done) => fs.open(path, "wx", done));
    return {
      async append(bytes) {
        for (let at = 0; at < bytes.length; ) {
          const length = Math.min(bytes.length - at, bytesPerCall);
          at += await call<number>((done) => fs.write(fd, bytes, at, length, null, done));
        }
      },
      sync: () => call<void>((done) => fs.fdatasync(fd, done)),
      close: () => close(fd),
    };
  },

  rename: (from, to) => call<void>((done) => fs.rename(from, to, done)),
  remove: (path) => call<void>((done) => fs.unlink(path, done)),
  makeDir: (path) => call<string | undefined>((done) => fs.mkdir(path, { recursive: true }, done)),
  list: (path) => call<string[]>((done) => fs.readdir(path, done)),

  async syncDir(path) {
    const fd = await call<number>((done) => fs.open(path, "r", done));
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
      let length = 0;
      for (;;) {
        const read = fs.readSync(fd, into, length, into.length - length, null);
        length += read;
        if (read === 0 || length === into.length) return length;
      }
    } finally {
      fs.closeSync(fd);
    }
  },
};

function close(fd: number): Promise<void> {
  return call<void>((done) => fs.close(fd, done));
}
