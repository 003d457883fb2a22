import type { FileHandle, FileSystem } from "@x/coord";
import type { LogPaths } from "./paths.js";

/**
 * A file system on which an append takes one turn to the disk and back. What is missing is done with the calls of `FileSystem`,
 * which takes four: to write, to sync, to look for the marker, to look for the log.
 */
export interface LogFileSystem extends FileSystem {
  /** Opens a file that is there; each of its writes ends as a write and a datasync of it would. */
  openDurable?(path: string): Promise<DurableFile>;
  /** As `exists`, at once. Only for names in a directory that is in use, which the system has in memory. */
  existsNow?(path: string): boolean;
}

export interface DurableFile {
  /** On return the bytes are durable. A failure leaves it unknown whether they are, or ever will be: never retry. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/** The way to append to a log through a file of it that was just created, and is closed if there is a better one. */
export async function openForAppends(
  fileSystem: LogFileSystem,
  path: string,
  created: FileHandle,
): Promise<DurableFile> {
  if (!fileSystem.openDurable) {
    return {
      write: async (bytes, position) => {
        await created.write([bytes], position);
        await created.datasync();
      },
      close: () => created.close(),
    };
  }
  const file = await fileSystem.openDurable(path);
  await created.close();
  return file;
}

/**
 * The fence: whether a log is still its writer's, neither sealed nor dropped. In this order, since a drop takes the log away before
 * the marker. Known at once if the file system can.
 */
export function isUnsealed(fileSystem: LogFileSystem, paths: LogPaths): boolean | Promise<boolean> {
  if (fileSystem.existsNow) return !fileSystem.existsNow(paths.marker) && fileSystem.existsNow(paths.log);
  return looksUnsealed(fileSystem, paths);
}

async function looksUnsealed(fileSystem: FileSystem, paths: LogPaths): Promise<boolean> {
  return !(await fileSystem.exists(paths.marker)) && (await fileSystem.exists(paths.log));
}
