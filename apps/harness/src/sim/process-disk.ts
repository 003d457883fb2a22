import type { FileHandle } from "@x/coord";
import type { LogFileSystem } from "@x/topic-buffer/local";
import type { DiskOperation, SimulatedDisk } from "./disk.js";
import type { SimProcess } from "./process.js";
import type { SeededRandom } from "./random.js";

export interface DiskFaults {
  /** Of a sync, a write or a rename to fail. */
  errorChance: number;
}

/** How often an operation waits for a thread of its process before it reaches the kernel. */
const QUEUED_CHANCE = 0.25;

/** How long an operation of a disk takes. */
export function durationMs(operation: DiskOperation, random: SeededRandom, slowness: number): number {
  const [from, to] =
    operation.kind === "datasync" || operation.kind === "syncDirectory" ? [0.2, 3] : [0.02, 0.3];
  // A disk that was busy with something else.
  const stall = random.chance(0.005) ? random.between(5, 80) : 0;
  return (random.between(from, to) + stall) * slowness;
}

/**
 * The disk as a process uses it: a stopped process neither starts an operation that waits for one of its threads nor learns of
 * one that has ended, and a dead one never does.
 */
export function diskOf(
  process: SimProcess,
  disk: SimulatedDisk,
  options: {
    readonly random: SeededRandom;
    readonly faults: DiskFaults;
    /** Whether it has those of Linux: writes that are durable on return, names that are looked at in no time. */
    readonly shortWays: boolean;
  },
): LogFileSystem {
  const { random, faults, shortWays } = options;
  const fallible = new Set(["datasync", "write", "syncDirectory", "rename"]);
  const mount = disk.mount({
    deliver: (run) => process.run("disk", run),
    fault: ({ kind }) =>
      fallible.has(kind) && faults.errorChance > 0 && random.chance(faults.errorChance) ? "EIO" : undefined,
  });
  process.onDeath(() => mount.crash());

  const start = <T>(what: string, operate: () => Promise<T>): Promise<T> => {
    if (!random.chance(QUEUED_CHANCE)) return operate();
    return new Promise((resolve, reject) => {
      process.later(random.between(0.01, 1), `disk ${what} starts`, () => {
        operate().then(resolve, reject);
      });
    });
  };
  const handleOf = (handle: FileHandle): FileHandle => ({
    read: (into, position) => start("read", () => handle.read(into, position)),
    write: (parts, position) => start("write", () => handle.write(parts, position)),
    datasync: () => start("datasync", () => handle.datasync()),
    truncate: (size) => start("truncate", () => handle.truncate(size)),
    size: () => start("size", () => handle.size()),
    close: () => start("close", () => handle.close()),
  });
  const short: Pick<LogFileSystem, "openDurable" | "existsNow"> = {
    openDurable: async (path) => {
      const handle = await start("open", () => mount.open(path, "update"));
      return {
        write: (bytes, position) =>
          start("write", async () => {
            await handle.write([bytes], position);
            await handle.datasync();
          }),
        close: () => start("close", () => handle.close()),
      };
    },
    existsNow: (path) => mount.isThereNow(path),
  };
  return {
    ...(shortWays && short),
    open: async (path, mode) => handleOf(await start("open", () => mount.open(path, mode))),
    list: (directory) => start("list", () => mount.list(directory)),
    exists: (path) => start("exists", () => mount.exists(path)),
    makeDirectory: (path) => start("makeDirectory", () => mount.makeDirectory(path)),
    rename: (from, to) => start("rename", () => mount.rename(from, to)),
    remove: (path) => start("remove", () => mount.remove(path)),
    syncDirectory: (path) => start("syncDirectory", () => mount.syncDirectory(path)),
    isLocal: (path) => mount.isLocal(path),
  };
}
