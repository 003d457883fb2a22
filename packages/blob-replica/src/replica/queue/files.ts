import { dirname } from "node:path";
import { BlobError } from "../../errors.js";
import type { StoreFiles } from "../../stores/files.js";

/** What the queue on disk asks of a file system. */
export type QueueFiles = Pick<
  StoreFiles,
  "openForReading" | "create" | "rename" | "remove" | "makeDir" | "list" | "syncDir" | "modifiedMs"
>;

/** A folder that survives a power cut, and the names in it. */
export async function openDir(files: QueueFiles, dir: string): Promise<readonly string[]> {
  const first = await files.makeDir(dir);
  if (first !== undefined) {
    for (let made = dir; ; made = dirname(made)) {
      await files.syncDir(dirname(made));
      if (made === first || made === dirname(made)) break;
    }
  }
  return await files.list(dir);
}

/** @throws BlobError "unavailable" when the file became shorter meanwhile */
export async function readWhole(files: QueueFiles, path: string): Promise<Uint8Array> {
  const file = await files.openForReading(path);
  try {
    const into = new Uint8Array(file.bytes);
    for (let at = 0; at < into.length; ) {
      const count = await file.read(into.subarray(at), at);
      if (count === 0) throw new BlobError("unavailable", `${path} became shorter while it was read`);
      at += count;
    }
    return into;
  } finally {
    await file.close();
  }
}

/** Not being there is no error. */
export async function removeIfThere(files: QueueFiles, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

export async function isThere(files: QueueFiles, path: string): Promise<boolean> {
  try {
    await files.modifiedMs(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
