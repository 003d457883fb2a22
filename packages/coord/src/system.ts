import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import type { Clock } from "./clock.js";
import type { FileHandle, FileSystem } from "./file-system.js";

// The only module of this package that touches real time, real randomness and the real disk. Everything else takes them
// as ports, so that a simulation can own them.

/** The longest delay that Node's timers take; a longer one would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

/** The process's clock. Its timers never keep the process alive. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    if (delayMs > longestDelayMs) return inSteps(delayMs, callback);
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** In steps that a timer takes; Infinity is never. */
function inSteps(delayMs: number, callback: () => void): () => void {
  let cancel = systemClock.setTimer(longestDelayMs, () => {
    cancel = systemClock.setTimer(delayMs - longestDelayMs, callback);
  });
  return () => cancel();
}

/** `count` bytes from the operating system's random source. */
export function systemRandomBytes(count: number): Uint8Array {
  return new Uint8Array(randomBytes(count));
}

class NodeFileHandle implements FileHandle {
  readonly #handle: fs.FileHandle;

  constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < into.byteLength) {
      const { bytesRead } = await this.#handle.read(into, done, into.byteLength - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    let left = parts.filter((part) => part.byteLength > 0);
    let at = position;
    // writev may write less than asked (a full disk, a signal, more parts than the system takes): go on from there.
    while (left.length > 0) {
      const { bytesWritten } = await this.#handle.writev(left.slice(0, 512), at);
      if (bytesWritten === 0) throw new Error("the file system wrote nothing");
      at += bytesWritten;
      left = withoutFirst(left, bytesWritten);
    }
  }

  async datasync(): Promise<void> {
    await this.#handle.datasync();
  }

  async truncate(size: number): Promise<void> {
    await this.#handle.truncate(size);
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function withoutFirst(parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  let index = 0;
  for (; index < parts.length; index++) {
    const length = parts[index]!.byteLength;
    if (skip < length) break;
    skip -= length;
  }
  const rest = parts.slice(index);
  if (skip > 0) rest[0] = rest[0]!.subarray(skip);
  return rest;
}

const flags = { read: "r", update: "r+", create: "wx+" } as const;

/** The machine's file system. Use a local one: the fence between two openers relies on what one does being seen by the other at once. */
export const nodeFileSystem: FileSystem = {
  async open(path, mode) {
    return new NodeFileHandle(await fs.open(path, flags[mode]));
  },

  async list(directory) {
    try {
      return await fs.readdir(directory);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return [];
      throw error;
    }
  },

  async exists(path) {
    try {
      await fs.access(path);
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR")) return false;
      throw error;
    }
  },

  async makeDirectory(path) {
    const first = await fs.mkdir(path, { recursive: true });
    if (first === undefined) return;
    // `first` is the highest directory that was missing: each from there down has to be made durable in its parent.
    let at = resolve(path);
    for (;;) {
      const parent = dirname(at);
      await syncDirectory(parent);
      if (at === resolve(first) || parent === at) return;
      at = parent;
    }
  },

  async rename(from, to) {
    await fs.rename(from, to);
  },

  async remove(path) {
    await fs.rm(path, { force: true });
  },

  syncDirectory,

  async isLocal(path) {
    for (let at = resolve(path); ; at = dirname(at)) {
      try {
        return !sharedFileSystems.has((await fs.statfs(at)).type);
      } catch (error) {
        // What is not there yet will be on the file system of its parent.
        if (!hasCode(error, "ENOENT") || at === dirname(at)) throw error;
      }
    }
  },
};

/** statfs types of file systems that several hosts can mount, from Linux's <linux/magic.h> and the modules' own headers. */
const sharedFileSystems: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x517b, // SMB
  0xff534d42, // CIFS
  0xfe534d42, // SMB2
  0x01021997, // 9p
  0x65735546, // FUSE: mostly sshfs, object stores and folders of a virtual machine's host
  0x00c36400, // Ceph
  0x5346414f, // AFS
  0x73757245, // Coda
  0x564c, // NCP
  0x0bd00bd0, // Lustre
  0x01161970, // GFS2
  0x7461636f, // OCFS2
  0x47504653, // GPFS
]);

async function syncDirectory(path: string): Promise<void> {
  const handle = await fs.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
