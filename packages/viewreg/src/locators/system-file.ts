import { constants, watch } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import type { FileSource } from "./file.js";

/** The machine's files. Watches the folder that the file is in, which tells of replacements too. */
export const systemFileSource: FileSource = {
  async read(path, { maxBytes }) {
    // Opening a pipe would wait for somebody to write, and hold a thread that all reads of files share.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new Error("it is no regular file");
      const { size } = stat;
      if (size > maxBytes) throw new Error(`it has ${size} bytes, more than ${maxBytes}`);
      // Not `readFile`, which takes whatever the file has grown to.
      const bytes = Buffer.alloc(maxBytes < size + 1 ? maxBytes + 1 : size + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
        length += bytesRead;
        if (bytesRead === 0) return bytes.subarray(0, length);
        if (length === bytes.length) throw new Error("it grew while it was read");
      }
    } finally {
      await handle.close();
    }
  },

  watch(path, onChange) {
    try {
      const watcher = watch(dirname(path), { persistent: false }, onChange);
      // The folder is gone: the next poll sees that, and watches again.
      watcher.on("error", onChange);
      return () => watcher.close();
    } catch {
      return () => undefined;
    }
  },
};
