/** A coordination store for one process, kept in a folder: for programs without an etcd, and for tests. */
import type { Clock } from "./clock.js";
import { DurableLog, type DurableLogOptions } from "./embedded/durable-log.js";
import { deleteKeysOf, EmbeddedStore } from "./embedded/embedded-coord.js";
import { CoordError } from "./errors.js";
import type { FileSystem } from "./file-system.js";
import type { Coord } from "./port.js";
import { nodeFileSystem, systemClock, systemRandomBytes } from "./system.js";

export interface EmbeddedOptions {
  /** Made if missing. Must be on a local file system (no NFS, SMB, FUSE...), and everything in it belongs to the store. */
  readonly directory: string;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** Default: the machine's. */
  readonly fileSystem?: FileSystem;
  /** For the cluster id and for nonces of files. Default: the operating system's random source. */
  readonly randomBytes?: (count: number) => Uint8Array;
  /** At most so many revisions can be read or watched in retrospect. Default: 10,000. */
  readonly historyRevisions?: number;
  /** And at most about so many bytes of them, in memory and on disk. Default: 64 MiB. */
  readonly historyBytes?: number;
  /**
   * A log file that is longer than this and than everything the store holds is replaced by a snapshot, during which
   * requests wait. Default: 8 MiB.
   */
  readonly walBytes?: number;
  /** Ends the opening, not the store. */
  readonly signal?: AbortSignal;
}

export interface EmbeddedCoord extends Coord {
  /** How many times the folder has been opened. */
  readonly generation: number;
  /**
   * Aborts, with the CoordError as its reason, when this object can't go on: "fenced", or "closed" after the disk failed. Whoever runs
   * the store opens it again then, or ends the process. Does not abort on `close`.
   */
  readonly failure: AbortSignal;
  /**
   * Makes `revision` the oldest that can be read or watched. History is bounded without it.
   * @throws CoordError "invalid-argument" for a revision in the future
   */
  compact(revision: bigint, options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/**
 * Opens the store in a folder, or makes one. Whoever opened the same folder before is fenced: it acknowledges nothing any more.
 * All leases are revoked, each in a revision that deletes its keys; everything acknowledged is there; revisions go on.
 *
 * @throws CoordError "corrupt" if the files are damaged otherwise than by a crash, "fenced" if somebody else opened the folder
 * meanwhile, "unavailable" (with the cause) if the file system refuses something, "invalid-argument"
 */
export async function openEmbeddedCoord(options: EmbeddedOptions): Promise<EmbeddedCoord> {
  const { clock = systemClock, signal } = options;
  const logOptions = checkOptions(options);
  signal?.throwIfAborted();
  const opening = open(logOptions, clock);
  if (signal === undefined) return await opening;

  let onAbort: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([opening, aborted]);
  } catch (error) {
    // The opening can't be taken back half-way: when it ends after all, nobody is there to use it.
    opening.then(
      (store) => store.close(),
      () => undefined,
    );
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function open(options: DurableLogOptions, clock: Clock): Promise<EmbeddedCoord> {
  let log: DurableLog | undefined;
  try {
    if (!(await options.fileSystem.isLocal(options.directory))) {
      throw new CoordError(
        "invalid-argument",
        `${options.directory} is on a file system that other hosts can use too, where the fence does not hold: use a local one`,
      );
    }
    const opened = await DurableLog.open(options);
    log = opened.log;
    const { store } = opened;
    for (const lease of store.leases()) deleteKeysOf(store, lease);
    store.trim();
    await log.rotate(store);
    return new EmbeddedStore(clock, log, store);
  } catch (error) {
    await log?.close().catch(() => undefined);
    if (error instanceof CoordError) throw error;
    throw new CoordError("unavailable", `the store in ${options.directory} could not be opened`, {
      cause: error,
    });
  }
}

function checkOptions(options: EmbeddedOptions): DurableLogOptions {
  const { directory, historyRevisions = 10_000, historyBytes = 67_108_864, walBytes = 8_388_608 } = options;
  if (typeof directory !== "string" || directory.length === 0) {
    throw new CoordError("invalid-argument", "directory must be the path of a folder");
  }
  for (const [name, value] of Object.entries({ historyRevisions, historyBytes, walBytes })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new CoordError("invalid-argument", `${name} must be a whole number of at least 1, not ${value}`);
    }
  }
  return {
    directory,
    fileSystem: options.fileSystem ?? nodeFileSystem,
    randomBytes: options.randomBytes ?? systemRandomBytes,
    limits: { revisions: historyRevisions, bytes: historyBytes },
    walBytes,
  };
}
