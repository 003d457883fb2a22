/** Ways to break the system on purpose, each by a wrapper around one of its ports: to see that the checker finds out. */
import type { Coord, FileHandle } from "@x/coord";
import type { LogFileSystem } from "@x/topic-buffer/local";
import { prefixes, type SegmentLogStore, TopicError } from "@x/topic-gateway/protocol";
import type { Mutation } from "./programs.js";

export type MutationName =
  | "an append to a sealed log succeeds"
  | "the fence is not looked at"
  | "logs are not synced"
  | "commits do not look at the lease"
  | "commits do not look at the bookmark"
  | "segments are recorded without a look at the range's lease";

export const mutations: Readonly<Record<MutationName, Mutation>> = {
  /** The writer of a log does not care that it was sealed: what it appended counts as done. */
  "an append to a sealed log succeeds": { logs: (logs) => new LogsWithoutFence(logs) },
  /** The writer of a log does not look whether it was sealed. */
  "the fence is not looked at": {
    logFiles: (files) => {
      const { existsNow, ...bound } = boundTo(files);
      const isMarker = (path: string): boolean => path.endsWith(".seal");
      return {
        ...bound,
        exists: async (path) => !isMarker(path) && (await files.exists(path)),
        ...(existsNow && { existsNow: (path) => !isMarker(path) && existsNow(path) }),
      };
    },
  },
  /** What was only written counts as durable. */
  "logs are not synced": {
    logFiles: (files) => {
      const { openDurable: _, ...bound } = boundTo(files);
      return { ...bound, open: async (path, mode) => withoutSync(await files.open(path, mode)) };
    },
  },
  /** A consumer commits without a look at whether the segment is still its own. */
  "commits do not look at the lease": {
    coord: (coord) => withoutCompares(coord, prefixes.bookmarkLeases),
  },
  /** A consumer does not look whether the bookmark is still the one it knows. */
  "commits do not look at the bookmark": {
    coord: (coord) => withoutCompares(coord, prefixes.bookmarks),
  },
  /** A new owner records its segment without a look at whether the range is still its own. */
  "segments are recorded without a look at the range's lease": {
    coord: (coord) => withoutCompares(coord, prefixes.rangeLeases),
  },
};

class LogsWithoutFence implements SegmentLogStore {
  readonly id: string;
  readonly #logs: SegmentLogStore;
  readonly owns: SegmentLogStore["owns"];
  readonly read: SegmentLogStore["read"];
  readonly seal: SegmentLogStore["seal"];
  readonly drop: SegmentLogStore["drop"];

  constructor(logs: SegmentLogStore) {
    this.id = logs.id;
    this.#logs = logs;
    this.owns = logs.owns.bind(logs);
    this.read = logs.read.bind(logs);
    this.seal = logs.seal.bind(logs);
    this.drop = logs.drop.bind(logs);
  }

  async create(
    ...args: Parameters<SegmentLogStore["create"]>
  ): Promise<Awaited<ReturnType<SegmentLogStore["create"]>>> {
    const writer = await this.#logs.create(...args);
    return {
      append: (frames) =>
        writer.append(frames).catch((error: unknown) => {
          if (!(error instanceof TopicError && error.code === "log-sealed")) throw error;
        }),
      close: () => writer.close(),
    };
  }
}

/** The methods of a file system, which may need their `this`, as plain functions. */
function boundTo(files: LogFileSystem): LogFileSystem {
  const { openDurable, existsNow } = files;
  return {
    ...(openDurable && { openDurable: (path) => openDurable.call(files, path) }),
    ...(existsNow && { existsNow: (path) => existsNow.call(files, path) }),
    open: (path, mode) => files.open(path, mode),
    list: (directory) => files.list(directory),
    exists: (path) => files.exists(path),
    makeDirectory: (path) => files.makeDirectory(path),
    rename: (from, to) => files.rename(from, to),
    remove: (path) => files.remove(path),
    syncDirectory: (path) => files.syncDirectory(path),
    isLocal: (path) => files.isLocal(path),
  };
}

function withoutSync(handle: FileHandle): FileHandle {
  return {
    read: (into, position) => handle.read(into, position),
    write: (parts, position) => handle.write(parts, position),
    datasync: () => Promise.resolve(),
    truncate: (size) => handle.truncate(size),
    size: () => handle.size(),
    close: () => handle.close(),
  };
}

/** A store whose transactions leave out what they compare of keys with the prefix. */
function withoutCompares(coord: Coord, prefix: string): Coord {
  return {
    clusterId: (options) => coord.clusterId(options),
    get: (selector, options) => coord.get(selector, options),
    txn: ({ compare = [], ...txn }, options) =>
      coord.txn({ ...txn, compare: compare.filter(({ key }) => !key.startsWith(prefix)) }, options),
    grantLease: (ttlMs, options) => coord.grantLease(ttlMs, options),
    keepAlive: (leaseId, options) => coord.keepAlive(leaseId, options),
    revokeLease: (leaseId, options) => coord.revokeLease(leaseId, options),
    watch: (selector, options) => coord.watch(selector, options),
    close: () => coord.close(),
    [Symbol.asyncDispose]: () => coord[Symbol.asyncDispose](),
  };
}
