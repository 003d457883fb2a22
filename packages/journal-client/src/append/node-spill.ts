import { mkdir, open, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { SpillFile, SpillFiles } from "./spill-files.js";

/**
 * Real files. Each loses its name as soon as it is open, so that the system frees its room whenever and however the process ends, and
 * one process cannot take away another's: what still has a name was left between the two steps, and removing it harms nobody.
 */
export const nodeSpillFiles: SpillFiles = {
  async create(dir, name) {
    await mkdir(dir, { recursive: true });
    const path = join(dir, name);
    const file = await open(path, "wx+", 0o600);
    try {
      await removeName(path);
    } catch (error) {
      await file.close();
      throw error;
    }
    return nodeSpillFile(file);
  },

  async sweep(dir, names) {
    const found = await readdir(dir).catch(() => []);
    for (const name of found) {
      if (names.test(name)) await unlink(join(dir, name)).catch(() => {});
    }
  },
};

/** Another process's sweep may have been faster. */
async function removeName(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

function nodeSpillFile(file: Awaited<ReturnType<typeof open>>): SpillFile {
  return {
    async write(parts, position) {
      let rest = parts;
      let at = position;
      while (rest.length > 0) {
        const { bytesWritten } = await file.writev(rest as Uint8Array[], at);
        if (bytesWritten === 0) throw new Error("the file system took no byte");
        at += bytesWritten;
        rest = behind(rest, bytesWritten);
      }
    },
    async read(into, position) {
      for (let at = 0; at < into.length; ) {
        const { bytesRead } = await file.read(into, at, into.length - at, position + at);
        if (bytesRead === 0) throw new Error("the file ends before what was written to it");
        at += bytesRead;
      }
    },
    close: () => file.close(),
  };
}

function behind(parts: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  let index = 0;
  while (index < parts.length && skip >= (parts[index] as Uint8Array).length) {
    skip -= (parts[index] as Uint8Array).length;
    index++;
  }
  if (skip === 0) return parts.slice(index);
  return [(parts[index] as Uint8Array).subarray(skip), ...parts.slice(index + 1)];
}
