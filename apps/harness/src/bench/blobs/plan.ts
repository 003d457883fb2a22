/** What is measured, in which order, how much of it, and the goals. */
import type { Goal } from "../benchmark.js";
import type { Call, Figures, StoreSpec } from "./call.js";

export const BENCH = "blobs";
export const LIMIT = "raw limit";
export const PLAIN = "ours, plainly";
export const BS = "bobg/bs";

export type Peer = typeof LIMIT | typeof PLAIN | typeof BS;

const MIB = 1024 * 1024;
const KIB4 = 4096;
/** Between a client and a server that are in one city or so. */
export const DISTANCE_MS = 10;
/** Of libuv's pool, as a program has them that syncs many files: with the 4 that are Node's own no more than 4 syncs wait at the same time. */
export const THREADS = 16;

export interface Scale {
  /** Counted windows of each side; they take turns. */
  readonly windows: number;
  /** The same, where one takes several seconds. */
  readonly longWindows: number;
  /** Blobs of 1 MiB: in memory (each round of them), on disk. */
  readonly largeInMemory: number;
  readonly rounds: number;
  readonly largeOnDisk: number;
  /** Blobs of 4 KiB: with syncs, read from a directory (each round), on S3, of a catch-up. */
  readonly smallPuts: number;
  readonly smallGets: number;
  readonly smallOnS3: number;
  readonly behind: number;
  readonly listedRefs: number;
  readonly listings: number;
}

export const fullScale: Scale = {
  windows: 5,
  longWindows: 3,
  largeInMemory: 64,
  rounds: 6,
  largeOnDisk: 40,
  smallPuts: 1_000,
  smallGets: 1_000,
  smallOnS3: 200,
  behind: 800,
  listedRefs: 1_000_000,
  listings: 3,
};

/** Enough to see every figure appear. */
export const quickScale: Scale = {
  windows: 1,
  longWindows: 1,
  largeInMemory: 16,
  rounds: 2,
  largeOnDisk: 8,
  smallPuts: 64,
  smallGets: 64,
  smallOnS3: 64,
  behind: 128,
  listedRefs: 20_000,
  listings: 1,
};

/** The other side of a row: a load of our own program, or the arguments of `bs-peer bench`; with `inFolder` it gets a new folder. */
export type OtherSide = Call | { readonly bs: readonly string[]; readonly inFolder?: boolean };

export interface Metric {
  /** Behind the part's name; "" for what the part is about. */
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly of: (figures: Figures) => number;
  /** Of the ratio to that peer. */
  readonly goals?: Partial<Record<Peer, Goal>>;
  /** Of our own figure. */
  readonly ownGoal?: Goal;
}

export interface Part {
  readonly name: string;
  readonly ours: Call;
  readonly peers?: Partial<Record<Peer, OtherSide>>;
  readonly metrics: readonly Metric[];
  /** Default: the scale's `windows`. */
  readonly windows?: number;
}

export function partsOf(scale: Scale): readonly Part[] {
  return [...largePuts(scale), ...verifiedGets(scale), ...smallBatches(scale), ...queue(scale)];
}

function largePuts({ largeInMemory, rounds, largeOnDisk, smallPuts }: Scale): readonly Part[] {
  const inMemory = { size: MIB, count: largeInMemory, rounds };
  const onDisk = { size: MIB, count: largeOnDisk };
  const small = { size: KIB4, count: smallPuts };
  const directory: StoreSpec = { kind: "directory" };
  return [
    {
      name: "put 1 MiB to 3 stores in memory",
      ours: { operation: "put", store: { kind: "memory", replicas: 3 }, ...inMemory },
      peers: {
        [LIMIT]: { operation: "sha256", ...inMemory },
        [BS]: { bs: ["replica-put", "-stores", "3", ...goFlags(MIB, largeInMemory * rounds)] },
      },
      metrics: [megabytes({ [LIMIT]: { text: ">= 0.45x SHA-256", atLeast: 0.45 } })],
    },
    {
      name: "put 1 MiB to 2 directories, synced (bs: not synced)",
      ours: { operation: "put", store: { kind: "directory", replicas: 2 }, ...onDisk },
      peers: {
        [LIMIT]: { operation: "file-put", ...onDisk },
        [PLAIN]: { operation: "put", store: directory, ...onDisk },
        [BS]: { bs: ["replica-put", "-stores", "2", ...goFlags(MIB, largeOnDisk)], inFolder: true },
      },
      metrics: [megabytes({ [PLAIN]: { text: ">= 0.5x one directory", atLeast: 0.5 } })],
    },
    {
      name: "put 4 KiB to a directory, synced, 32 in flight (bs: not synced)",
      ours: { operation: "put", store: directory, inFlight: 32, ...small },
      peers: {
        [LIMIT]: { operation: "file-put", inFlight: 32, ...small },
        [PLAIN]: { operation: "put", store: directory, ...small },
        [BS]: { bs: ["file-put", "-inflight", "32", ...goFlags(KIB4, smallPuts)], inFolder: true },
      },
      metrics: [perSecond({ [PLAIN]: { text: ">= 2.5x one at a time", atLeast: 2.5 } })],
    },
  ];
}

function verifiedGets({ largeInMemory, rounds }: Scale): readonly Part[] {
  const load = { size: MIB, count: largeInMemory, rounds };
  const inMemory: StoreSpec = { kind: "verifying memory" };
  const replicated: StoreSpec = { kind: "memory", replicas: 3 };
  const part = (name: string, call: Pick<Call, "store" | "frozen">, peers: Part["peers"] = {}): Part => ({
    name,
    ours: { operation: "get", ...call, ...load },
    peers: { [LIMIT]: { operation: "sha256", ...load }, ...peers },
    metrics: [megabytes({ [LIMIT]: { text: ">= 0.8x SHA-256", atLeast: 0.8 } })],
  });
  return [
    part("get 1 MiB from memory, verified, frozen", { store: inMemory, frozen: true }),
    part("get 1 MiB from memory, verified, as a copy", { store: inMemory }),
    part(
      "get 1 MiB from 3 stores in memory, verified, frozen (bs: not verified)",
      {
        store: replicated,
        frozen: true,
      },
      { [BS]: { bs: ["replica-get", "-stores", "3", ...goFlags(MIB, largeInMemory * rounds)] } },
    ),
    part("get 1 MiB from 3 stores in memory, verified, as a copy", { store: replicated }),
    part("get 1 MiB from a directory, verified", { store: { kind: "directory" } }),
  ];
}

function smallBatches({ smallPuts, smallGets, rounds, smallOnS3, longWindows }: Scale): readonly Part[] {
  const part = (
    name: string,
    operation: "get" | "put",
    load: Omit<Call, "operation">,
    peers: Part["peers"] = {},
  ): Part => ({
    name,
    ours: { operation: `${operation}-many`, ...load },
    peers: { [PLAIN]: { operation, ...load }, ...peers },
    metrics: [perSecond({ [PLAIN]: { text: ">= 4x one at a time", atLeast: 4 } })],
  });
  const directory: StoreSpec = { kind: "directory" };
  const puts = { store: directory, size: KIB4, count: smallPuts };
  const gets = { store: directory, size: KIB4, count: smallGets, rounds };
  const s3 = { store: { kind: "s3" } as const, size: KIB4, count: smallOnS3 };
  const distant = { ...s3, store: { kind: "distant s3" } as const };
  return [
    part("putMany of 4 KiB, directory (bs: 64 in flight, not synced)", "put", puts, {
      [LIMIT]: { operation: "file-put-many", size: KIB4, count: smallPuts },
      [BS]: { bs: ["file-put", "-inflight", "64", ...goFlags(KIB4, smallPuts)], inFolder: true },
    }),
    part(
      `putMany of 4 KiB, directory, ${THREADS} threads`,
      "put",
      { ...puts, threads: THREADS },
      {
        [LIMIT]: { operation: "file-put-many", size: KIB4, count: smallPuts, threads: THREADS },
      },
    ),
    part("getMany of 4 KiB, directory (bs: 16 in flight, not verified)", "get", gets, {
      [BS]: { bs: ["file-get", "-inflight", "16", ...goFlags(KIB4, smallGets)], inFolder: true },
    }),
    { ...part("putMany of 4 KiB, S3 on the same cores", "put", s3), windows: longWindows },
    { ...part("getMany of 4 KiB, S3 on the same cores", "get", s3), windows: longWindows },
    { ...part(`putMany of 4 KiB, S3 at ${DISTANCE_MS} ms`, "put", distant), windows: longWindows },
    { ...part(`getMany of 4 KiB, S3 at ${DISTANCE_MS} ms`, "get", distant), windows: longWindows },
  ];
}

function queue({ smallPuts, behind, smallOnS3, longWindows }: Scale): readonly Part[] {
  const small = { size: KIB4, count: smallPuts };
  const each = (name: string, count: (figures: Figures) => number, goal?: Goal): Metric => ({
    name,
    unit: "",
    better: "lower",
    of: (figures) => count(figures) / figures.ops,
    ...(goal && { ownGoal: goal }),
  });
  const one: Goal = { text: "one", atMost: 1 };
  const appends = (goal?: Goal) => each("appends for each", (figures) => figures.appends ?? Number.NaN, goal);
  const syncs = (goal?: Goal) => each("syncs for each", (figures) => figures.syncs ?? Number.NaN, goal);
  const catchUp = (name: string, call: Pick<Call, "store" | "source" | "count">): Part => ({
    name: `catch-up after an outage, 4 KiB, ${name}`,
    ours: { operation: "catch-up", size: KIB4, ...call },
    peers: { [PLAIN]: { operation: "put-many", size: KIB4, count: call.count, store: call.store! } }, // each has one
    metrics: [perSecond({ [PLAIN]: { text: ">= 0.9x of its own putMany", atLeast: 0.9 } })],
    windows: longWindows,
  });
  return [
    {
      name: "asynchronous put of 4 KiB, queue on disk, one at a time",
      ours: { operation: "queue-costs", ...small },
      metrics: [appends(one), syncs(one)],
    },
    {
      name: "asynchronous put of 4 KiB, queue on disk, 32 in flight",
      ours: { operation: "queue-costs", inFlight: 32, ...small },
      metrics: [appends(one), syncs(one)],
    },
    {
      name: "asynchronous put of 4 KiB, queue on disk, while the store keeps up",
      ours: { operation: "queued-put", ...small },
      peers: { [LIMIT]: { operation: "file-append", ...small } },
      metrics: [perSecond({})],
    },
    catchUp("memory", { store: { kind: "memory" }, count: behind * 10 }),
    catchUp("directory", { store: { kind: "directory" }, source: { kind: "directory" }, count: behind }),
    catchUp("S3", { store: { kind: "s3" }, source: { kind: "directory" }, count: smallOnS3 }),
  ];
}

function megabytes(goals: NonNullable<Metric["goals"]>): Metric {
  return {
    name: "",
    unit: "MB/s",
    better: "higher",
    of: ({ bytes, seconds }) => bytes / seconds / 1e6,
    goals,
  };
}

function perSecond(goals: NonNullable<Metric["goals"]>): Metric {
  return { name: "", unit: "blobs/s", better: "higher", of: ({ ops, seconds }) => ops / seconds, goals };
}

function goFlags(size: number, count: number): readonly string[] {
  return ["-size", String(size), "-count", String(count)];
}
