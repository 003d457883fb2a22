/** What is measured, in which order, how much of it, and the goals. */
import { type GazetteCodec, pinnedNodeVersion } from "../../servers/index.js";
import type { Goal } from "../benchmark.js";
import type { BareMode, Call, Figures } from "./call.js";

const MIB = 1024 * 1024;

export interface Scale {
  /** Counted windows of each side; they take turns. */
  readonly windows: number;
  readonly smallAppends: number;
  readonly mediumAppends: number;
  readonly syncAppends: number;
  readonly wholeBytes: number;
  /** Of a journal that is read directly; persisted in fragments of `fragmentBytes`. */
  readonly directBytes: number;
  readonly fragmentBytes: number;
  readonly readers: number;
}

export const fullScale: Scale = {
  windows: 5,
  smallAppends: 1_000_000,
  mediumAppends: 100_000,
  syncAppends: 3_000,
  wholeBytes: 1024 * MIB,
  directBytes: 256 * MIB,
  fragmentBytes: 64 * MIB,
  readers: 1_000,
};

/** Enough to see every figure appear. */
export const quickScale: Scale = {
  windows: 1,
  smallAppends: 20_000,
  mediumAppends: 5_000,
  syncAppends: 50,
  wholeBytes: 16 * MIB,
  directBytes: 8 * MIB,
  fragmentBytes: 2 * MIB,
  readers: 50,
};

export interface Metric {
  /** Behind the part's name; "" for what the part is about. */
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly of: (figures: Figures) => number;
  /** Of the ratio of ours to the Go client's. */
  readonly goal?: Goal;
  /** Of our own figure, whatever the Go client's is. */
  readonly ownGoal?: Goal;
}

export interface Part {
  readonly name: string;
  /**
   * What its rows are called with our client run by `NEWER_NODE`: they are measured too, in the same windows, when the Node that runs the
   * benchmark lacks the decompressor that newer ones have.
   */
  readonly byNewerNode?: string;
  readonly call: Omit<Call, "journal">;
  /** What it reads is there before; what it appends to is new in each window. */
  readonly filled?: { readonly codec: GazetteCodec; readonly bytes: number; readonly direct: boolean };
  /** The Go client's program has no such mode. */
  readonly alone?: boolean;
  /** The same by Node with next to nothing around it, measured beside the two. */
  readonly bare?: readonly Bare[];
  readonly metrics: readonly Metric[];
}

/** A column of the table. */
export interface Bare {
  readonly name: string;
  readonly mode: BareMode;
}

export const BARE_NODE = "bare Node";
export const BARE_GRPC = "bare grpc-js";
/** In the names of rows. */
export const NEWER_NODE: string = `Node ${Number.parseInt(pinnedNodeVersion, 10)}`;

export const codecs: readonly GazetteCodec[] = ["NONE", "GZIP", "SNAPPY", "ZSTANDARD"];

export function partsOf(scale: Scale): readonly Part[] {
  const { smallAppends, mediumAppends, syncAppends, wholeBytes, directBytes, readers } = scale;
  return [
    {
      name: "AppendService, 100 B",
      call: { mode: "append-service", size: 100, count: smallAppends },
      metrics: [appendsPerSecond(0.5), cpu],
    },
    {
      name: "AppendService, 1 KiB",
      call: { mode: "append-service", size: 1024, count: mediumAppends },
      metrics: [appendsPerSecond(0.9), cpu],
    },
    {
      name: "one append at a time, 100 B",
      call: { mode: "append-sync", size: 100, count: syncAppends },
      bare: [
        { name: BARE_GRPC, mode: "bare-grpc-append" },
        { name: BARE_NODE, mode: "bare-http2-append" },
      ],
      metrics: [
        {
          name: "p50",
          unit: "ms",
          better: "lower",
          of: ({ p50Ms }) => p50Ms,
          goal: { text: "<= 2x Go", atMost: 2 },
        },
        {
          name: `p50 of the first ${syncAppends.toLocaleString("en-US")} of a process`,
          unit: "ms",
          better: "lower",
          of: ({ cold, p50Ms }) => (cold ?? { p50Ms }).p50Ms,
        },
        cpu,
      ],
    },
    {
      name: `Appender, ${sizeOf(wholeBytes)}`,
      call: { mode: "appender", bytes: wholeBytes },
      metrics: [megabytesPerSecond(0.9), cpu],
    },
    {
      name: `read through the broker, ${sizeOf(wholeBytes)}`,
      call: { mode: "read", bytes: wholeBytes },
      filled: { codec: "NONE", bytes: wholeBytes, direct: false },
      metrics: [megabytesPerSecond(0.9), cpu, peakMemory({ text: "<= 150 MB", atMost: 150 })],
    },
    ...codecs.map(
      (codec): Part => ({
        ...namesOf(codec, `read fragments of ${codec} directly, ${sizeOf(directBytes)}`),
        call: { mode: "fragments", bytes: directBytes, into: true },
        filled: { codec, bytes: directBytes, direct: true },
        bare: bareFragments[codec] === undefined ? [] : [{ name: BARE_NODE, mode: bareFragments[codec] }],
        metrics: [
          megabytesPerSecond(0.8),
          {
            name: `the first ${sizeOf(directBytes)} of a process`,
            unit: "MB/s",
            better: "higher",
            of: ({ cold, bytes, seconds }) => rateOf(cold ?? { bytes, seconds }),
          },
          cpu,
        ],
      }),
    ),
    ...codecs.map(
      (codec): Part => ({
        ...namesOf(
          codec,
          `read fragments of ${codec} directly, ${sizeOf(directBytes)}, each chunk in memory of its own`,
        ),
        call: { mode: "fragments", bytes: directBytes },
        filled: { codec, bytes: directBytes, direct: true },
        alone: true,
        metrics: [megabytesPerSecond(), cpu],
      }),
    ),
    {
      name: `${readers.toLocaleString("en-US")} blocked readers`,
      call: { mode: "blocked-readers", count: readers },
      alone: true,
      metrics: [
        peakMemory({ text: "<= 300 MB", atMost: 300 }),
        {
          name: "until an append has reached each",
          unit: "ms",
          better: "lower",
          of: ({ p50Ms }) => p50Ms,
        },
        cpu,
      ],
    },
  ];
}

/** Whether the part is meant by `--only`. */
export function isWanted({ name, byNewerNode = name }: Part, only: string | undefined): boolean {
  // The longer name has the other in it.
  return only === undefined || byNewerNode.includes(only);
}

/** ZSTANDARD is what a newer Node reads otherwise: by node:zlib, and not by WebAssembly. */
function namesOf(codec: GazetteCodec, name: string): Pick<Part, "name" | "byNewerNode"> {
  return { name, ...(codec === "ZSTANDARD" && { byNewerNode: `${name}, ${NEWER_NODE}` }) };
}

function appendsPerSecond(atLeast: number): Metric {
  return {
    name: "",
    unit: "appends/s",
    better: "higher",
    of: ({ ops, seconds }) => ops / seconds,
    goal: { text: `>= ${atLeast}x Go`, atLeast },
  };
}

const bareFragments: Partial<Record<GazetteCodec, BareMode>> = {
  NONE: "bare-file",
  SNAPPY: "bare-snappy",
  ZSTANDARD: "bare-zstd",
};

function megabytesPerSecond(atLeast?: number): Metric {
  return {
    name: "",
    unit: "MB/s",
    better: "higher",
    of: rateOf,
    ...(atLeast !== undefined && { goal: { text: `>= ${atLeast}x Go`, atLeast } }),
  };
}

function rateOf({ bytes, seconds }: Pick<Figures, "bytes" | "seconds">): number {
  return bytes / seconds / 1e6;
}

function peakMemory(ownGoal: Goal): Metric {
  return {
    name: "peak memory of the process",
    unit: "MB",
    better: "lower",
    of: ({ maxRssBytes }) => maxRssBytes / 1e6,
    ownGoal,
  };
}

const cpu: Metric = {
  name: "CPU of the process",
  unit: "s",
  better: "lower",
  of: ({ cpuSeconds }) => cpuSeconds,
};

function sizeOf(bytes: number): string {
  return bytes % (1024 * MIB) === 0 ? `${bytes / (1024 * MIB)} GiB` : `${bytes / MIB} MiB`;
}
