/** The archive of a process, as its flags say: blobs in folders and perhaps a bucket, or files. */
import { join } from "node:path";
import {
  createReplica,
  directoryStore,
  type NamedStore,
  type Replica,
  type ReplicaEvent,
} from "@x/blob-replica";
import type { Coord } from "@x/coord";
import { openLocalArchive } from "@x/topic-buffer/local";
import { type ArchiveNames, coordNames, openBlobArchive } from "@x/topic-gateway/blob";
import type { SegmentArchive } from "@x/topic-gateway/protocol";
import { AsyncStack } from "../async-stack.js";
import type { ServeConfig } from "../config.js";
import { describeError, type Log } from "../log.js";
import type { ArchiveConfig } from "./archive-config.js";
import { bothLayouts } from "./both-layouts.js";
import { claimFolder } from "./cluster-mark.js";
import { takeQueueSlot } from "./queue-slot.js";
import { startUpkeep } from "./upkeep.js";

export interface ArchiveStatus {
  readonly kind: "blob" | "local";
  /** None of a `local` one. */
  readonly stores: readonly ArchiveStoreStatus[];
}

export interface ArchiveStoreStatus {
  /** A folder, or a bucket as `s3://bucket/prefix`. */
  readonly name: string;
  readonly kind: "directory" | "s3";
  /** The last call worked. */
  readonly healthy: boolean;
  /** Blobs that it does not have yet. Of folders: that are known to be missing or damaged. */
  readonly backlog: number;
  readonly backlogBytes: number;
  /** How long ago the oldest of them was archived elsewhere. */
  readonly oldestMs: number;
  readonly lastError: string | null;
}

export interface OpenedArchive extends AsyncDisposable {
  readonly archive: SegmentArchive;
  status(): ArchiveStatus;
}

interface Parts {
  readonly coord: Coord;
  readonly log: Log;
  readonly signal?: AbortSignal;
}

/** @throws Error with a sentence for people; `signal.reason` */
export async function openArchive(config: ServeConfig, parts: Parts): Promise<OpenedArchive> {
  const names = coordNames({ coord: parts.coord });
  const directory = join(config.dataDirectory, "archive");
  if (config.archive.kind === "local") {
    await assertNoBlobs(names, parts.signal);
    const archive = await openLocalArchive({ directory });
    return { archive, status: () => ({ kind: "local", stores: [] }), async [Symbol.asyncDispose]() {} };
  }
  const stack = new AsyncStack();
  try {
    return await openBlobs({ config, archive: config.archive, directory, names, stack, ...parts });
  } catch (error) {
    await stack.close();
    throw error;
  }
}

/** Whoever reads only files would wait for ever for what became blobs. */
async function assertNoBlobs(names: ArchiveNames, signal: AbortSignal | undefined): Promise<void> {
  for await (const { name } of names.list(signal ? { signal } : {})) {
    throw new Error(
      `segments of these topics are archived as blobs (${name} is one), which --archive local can't read: start without it`,
    );
  }
}

interface BlobParts extends Parts {
  readonly config: ServeConfig;
  readonly archive: Extract<ArchiveConfig, { kind: "blob" }>;
  /** Of what belongs to the archive in the data directory. */
  readonly directory: string;
  readonly names: ArchiveNames;
  readonly stack: AsyncStack;
}

async function openBlobs(parts: BlobParts): Promise<OpenedArchive> {
  const { config, archive: wanted, directory, names, stack, log } = parts;
  const archives = config.role !== "gateway";
  const folders = wanted.directories.map((path) => ({
    name: path,
    // A gateway makes no folders: it would take an empty one for one that has lost everything.
    store: directoryStore(path, { create: archives }),
  }));
  if (archives) {
    const clusterId = await parts.coord.clusterId(signalOf(parts.signal));
    for (const path of wanted.directories) await claimFolder(path, clusterId);
  }
  const far = archives && wanted.s3 ? await openBucket(wanted.s3, stack) : undefined;
  const replica = stack.use(await openReplica(folders, far, { directory, log, ...signalOf(parts.signal) }));
  const blobs = openBlobArchive({ store: replica, names });
  // Also when there are no files yet: another process of an earlier version may be making some.
  const files = await openLocalArchive({ directory });
  let archive = bothLayouts(blobs, files);
  if (archives) {
    const upkeep = startUpkeep({ blobs, replica, folders, far, log, collectMs: wanted.collectMs });
    stack.use(upkeep);
    archive = upkeep.watching(archive);
  }
  return {
    archive,
    status: () => statusOf(replica),
    [Symbol.asyncDispose]: () => stack.close(),
  };
}

async function openBucket(
  config: NonNullable<BlobParts["archive"]["s3"]>,
  stack: AsyncStack,
): Promise<NamedStore> {
  const { openS3 } = await import("./s3.js");
  const opened = openS3(config);
  stack.defer(async () => opened[Symbol.dispose]());
  return { name: `s3://${config.bucket}/${config.prefix}`, store: opened.store };
}

async function openReplica(
  folders: readonly NamedStore[],
  far: NamedStore | undefined,
  parts: { readonly directory: string; readonly log: Log; readonly signal?: AbortSignal },
): Promise<Replica> {
  const { directory, log, ...rest } = parts;
  const common = { sync: folders, onEvent: tellOnce(log), ...rest };
  if (!far) return await createReplica(common);
  const dir = await takeQueueSlot(join(directory, "queue"));
  // A bucket that is away for long does not stop the archive: what the queue has no room for is found by a comparison.
  return await createReplica({ ...common, async: [far], queue: { dir }, whenFull: "drop-to-resync" });
}

/** A line when a store begins to fail, not for each blob. */
function tellOnce(log: Log): (event: ReplicaEvent) => void {
  const failing = new Set<string>();
  return ({ event, store, ref, error }) => {
    log.debug(`archive ${event}`, { store, ref, error });
    if (event === "async-caught-up" || event === "repaired") {
      if (failing.delete(store)) log.info(`the archive's store ${store} works again`);
    } else if (error !== undefined && !failing.has(store)) {
      failing.add(store);
      log.info(`the archive's store ${store} has a problem: ${describeError(error)}`);
    }
  };
}

function statusOf(replica: Replica): ArchiveStatus {
  const { sync, async: far } = replica.state();
  return {
    kind: "blob",
    stores: [
      ...sync.map(({ name, failures, lastError, repairBacklog }) => ({
        name,
        kind: "directory" as const,
        healthy: failures === 0,
        backlog: repairBacklog,
        backlogBytes: 0,
        oldestMs: 0,
        lastError: lastError === undefined ? null : describeError(lastError),
      })),
      ...far.map(({ name, failures, lastError, backlog, backlogBytes, lagMs }) => ({
        name,
        kind: "s3" as const,
        healthy: failures === 0,
        backlog,
        backlogBytes,
        oldestMs: Math.round(lagMs),
        lastError: lastError === undefined ? null : describeError(lastError),
      })),
    ],
  };
}

function signalOf(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal ? { signal } : {};
}
