/** The real clock, random numbers and disk: the defaults, and the only file of this package that touches them. */
import { randomBytes } from "node:crypto";
import { constants, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { nodeFileSystem, systemClock } from "@x/coord";
import type { Runtime } from "@x/topic-gateway/protocol";
import type { DurableFile, LogFileSystem } from "./local/log-files.js";

export const systemRuntime: Runtime = {
  clock: { ...systemClock, wallMs: () => performance.timeOrigin + performance.now() },
  random: { number: () => Math.random(), bytes: (count) => randomBytes(count) },
};

/** Elsewhere a file that is opened so is weaker than a sync (macOS leaves it in the drive's cache), or there is no such thing. */
const hasDurableWrites = process.platform === "linux";

/** The machine's file system, with the shorter ways that a log uses. */
export const systemLogFiles: LogFileSystem = {
  ...nodeFileSystem,
  ...(hasDurableWrites && { openDurable }),
  // Only that there is no such entry is false; what can't be looked at throws.
  existsNow: (path) => statSync(path, { throwIfNoEntry: false }) !== undefined,
};

async function openDurable(path: string): Promise<DurableFile> {
  const file = await open(path, constants.O_RDWR | constants.O_DSYNC);
  return {
    async write(bytes, position) {
      for (let done = 0; done < bytes.byteLength; ) {
        // May write less than asked (a full disk, a signal): go on from there.
        const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position + done);
        if (bytesWritten === 0) throw new Error("the file system wrote nothing");
        done += bytesWritten;
      }
    },
    close: () => file.close(),
  };
}
