import { constants } from "node:fs";
import { lstat, open, realpath } from "node:fs/promises";
import * as path from "node:path";

/** An open file. */
export interface OpenFile {
  /** Into the buffer from its beginning; 0 at the end of the file. */
  read(buffer: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** What a file transport needs of the file system. Failures have a `code`, as node's. */
export interface FragmentFiles {
  /** The path with all of its links followed. */
  realPath(path: string): Promise<string>;
  /** Opens a regular file by a path without links; undefined when it is no regular file, or when a link or another file has come into its place. */
  open(path: string): Promise<OpenFile | undefined>;
  join(root: string, segments: readonly string[]): string;
  /** Whether a path is below a folder. Both are without links. */
  isBelow(path: string, root: string): boolean;
}

export const nodeFiles: FragmentFiles = {
  realPath: (file) => realpath(file),
  async open(file) {
    const before = await lstat(file, { bigint: true });
    if (!before.isFile()) {
      return undefined;
    }
    // Neither follows a link that has just been put there, nor waits for the other end of a pipe.
    const handle = await open(
      file,
      constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0),
    );
    try {
      const opened = await handle.stat({ bigint: true });
      if (
        !opened.isFile() ||
        opened.dev !== before.dev ||
        opened.ino !== before.ino ||
        (await realpath(file)) !== file
      ) {
        await handle.close();
        return undefined;
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    return {
      read: async (buffer) => (await handle.read(buffer, 0, buffer.length, null)).bytesRead,
      close: () => handle.close(),
    };
  },
  join: (root, segments) => path.join(root, ...segments),
  isBelow(file, root) {
    const relative = path.relative(root, file);
    return (
      relative !== "" &&
      relative !== ".." &&
      !relative.startsWith(`..${path.sep}`) &&
      !path.isAbsolute(relative)
    );
  },
};
