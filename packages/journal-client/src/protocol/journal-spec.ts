import type { LabelSet } from "./label.js";

/** How a fragment's file is compressed. */
export type CompressionCodec = "NONE" | "GZIP" | "ZSTANDARD" | "SNAPPY" | "GZIP_OFFLOAD_DECOMPRESSION";

/** Where and how a journal's fragments are kept. */
export interface FragmentSpec {
  /** Bytes of content (before compression) after which a fragment is closed. */
  readonly length: bigint;
  readonly compressionCodec: CompressionCodec;
  /** URLs; new fragments go to the first, all are read. None: nothing is persisted. */
  readonly stores: readonly string[];
  /** How often brokers list the stores again. Whole milliseconds at least: smaller parts are cut off. */
  readonly refreshIntervalMs: number;
  /** 0 keeps fragments for ever. */
  readonly retentionMs: number;
  /** 0 is no such interval. */
  readonly flushIntervalMs: number;
  readonly pathPostfixTemplate: string;
}

export type JournalFlag = "O_RDONLY" | "O_WRONLY" | "O_RDWR";

/** `NONE`: in full service. `PARTIAL`: one replica, which serves reads. `FULL`: no replica, nothing to read; an append resumes it. */
export interface Suspension {
  readonly level: "NONE" | "PARTIAL" | "FULL";
  /** Where appends go on. */
  readonly offset: bigint;
}

export interface JournalSpec {
  readonly name: string;
  readonly replication: number;
  readonly labels: LabelSet;
  readonly fragment: FragmentSpec;
  /** Empty counts as O_RDWR. */
  readonly flags: readonly JournalFlag[];
  /** Bytes per second; 0 is no limit. */
  readonly maxAppendRate: bigint;
  /** Managed by the brokers: whoever applies a spec passes on the one that was read. */
  readonly suspend?: Suspension;
}
