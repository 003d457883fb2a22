import type { Clock, Random } from "../clock.js";
import { JournalError } from "../errors.js";
import { show } from "../protocol/refusal.js";
import type { AppendServiceEvent } from "./events.js";
import type { SpillFiles } from "./spill-files.js";

const MIB = 1024 * 1024;

export interface SpillOptions {
  /** A directory for files that hold appends. Made when it is missing; services and processes may share one. */
  readonly dir: string;
  /** On disk, at most. Default 8 GiB. */
  readonly maxBytes?: number;
}

export interface AppendServiceOptions {
  /**
   * Ends the service: every append that is not committed fails with its reason, now and from then on, and so do `write` and `release` of those
   * that are still being written. What a broker was told to commit already may be committed all the same.
   */
  readonly signal?: AbortSignal;
  /** Without it, appends are kept in memory only. Begins when half of `maxMemoryBytes` is in use. */
  readonly spill?: SpillOptions;
  /**
   * Bytes of appends in memory, over all journals, above which `ready` waits; an append that would take more than twice as much fails with
   * "buffer-full". Sending what was spilled may take one buffer, of up to 128 KiB, besides. Default 64 MiB.
   *
   * Not counted is what RPCs that are under way hold until the broker takes it: a copy of up to 1 MiB of their batch each, also when that is in
   * a file. Where brokers take nothing while hundreds of journals have large batches, that is several times the bound: some 350 MiB for 1,000.
   */
  readonly maxMemoryBytes?: number;
  /** Once a batch is larger, the next append begins another. Default 64 MiB. */
  readonly cutoffBytes?: number;
  readonly clock?: Clock;
  readonly random?: Random;
  /** For `spill`. Default: the real file system. */
  readonly fileSystem?: SpillFiles;
  /** Told of failed tries, of appends and of spilling. What it throws is dropped. */
  readonly onEvent?: (event: AppendServiceEvent) => void;
}

/** The bounds of an append service, in bytes. */
export interface AppendServiceBounds {
  readonly maxMemoryBytes: number;
  readonly maxSpillBytes: number;
  readonly cutoffBytes: number;
}

/** @throws JournalError "invalid-argument" */
export function boundsOf(options: AppendServiceOptions): AppendServiceBounds {
  const { spill, maxMemoryBytes = 64 * MIB, cutoffBytes = 64 * MIB } = options;
  requirePositive("maxMemoryBytes", maxMemoryBytes);
  requirePositive("cutoffBytes", cutoffBytes);
  if (spill !== undefined) requireDir(spill?.dir);
  const maxSpillBytes = spill?.maxBytes ?? 8192 * MIB;
  requirePositive("spill.maxBytes", maxSpillBytes);
  return { maxMemoryBytes, maxSpillBytes, cutoffBytes };
}

function requireDir(dir: unknown): void {
  if (typeof dir === "string" && dir !== "") return;
  throw new JournalError(
    "invalid-argument",
    `spill.dir is ${show(dir)}; it has to be the path of a directory`,
  );
}

function requirePositive(name: string, value: number): void {
  if (Number.isInteger(value) && value > 0) return;
  throw new JournalError("invalid-argument", `${name} is ${value}; it has to be a positive integer`);
}
