import type { Coord } from "@x/coord";
import {
  type HashRange,
  type Runtime,
  type SegmentArchive,
  type SegmentId,
  type SegmentLogStore,
  TopicError,
  type TopicName,
} from "@x/topic-gateway/protocol";
import { MAX_BATCH_BYTES } from "./entries.js";

export interface BufferOptions {
  /** Of this buffer among all of the system: 1 to 128 letters, digits, "_", "-" or ".". Two that are alive must not share one. */
  readonly id: string;
  /** `host:port` where gateways reach it. Written into the keys of what it holds. */
  readonly address: string;
  readonly coord: Coord;
  readonly logs: SegmentLogStore;
  readonly archive: SegmentArchive;
  /** Default: the real clock and random numbers. */
  readonly runtime?: Runtime;
  /** How long the ranges of a buffer that went silent stay its own. Default 5,000. */
  readonly leaseTtlMs?: number;
  /** A segment of about this size is sealed and a new one begun. Default 256 MiB. */
  readonly segmentMaxBytes?: number;
  /** A segment that holds something is sealed at this age. Default 10 minutes. */
  readonly segmentMaxAgeMs?: number;
  /** Memory for messages that can be read without their log. Default 256 MiB. */
  readonly hotBytes?: number;
  /** Of one range, accepted but not durable; more is back pressure. Default 16 MiB. */
  readonly maxQueuedBytes?: number;
  /** What is made durable with one sync. Default 1 MiB, up to 8 MiB, the size of the largest batch. */
  readonly groupMaxBytes?: number;
  /** Keys remembered of one segment, for `get`; more are searched. Default 100,000. */
  readonly maxIndexedKeys?: number;
  /** How long an orphaned range is left to those whose share it is. Default 1,000, jittered. */
  readonly graceMs?: number;
  /** How long the log of an archived segment stays for those who are reading it. Default 30,000. */
  readonly readersGraceMs?: number;
  /** Must not throw. */
  readonly onEvent?: (event: BufferEvent) => void;
}

interface RangeOf {
  readonly topic: TopicName;
  readonly range: HashRange;
}

/** What happened, for logs and metrics. `alarm` is for people: something that must not be is there. */
export type BufferEvent =
  | { readonly type: "started"; readonly leaseId: bigint }
  | { readonly type: "session-lost"; readonly cause: unknown }
  /** The buffer gave up for good: its coordination store was closed, or has another history than before. */
  | { readonly type: "failed"; readonly cause: unknown }
  | ({ readonly type: "claimed"; readonly epoch: bigint } & RangeOf)
  | ({ readonly type: "opened"; readonly epoch: bigint; readonly segment: SegmentId } & RangeOf)
  | ({
      readonly type: "rolled";
      readonly epoch: bigint;
      readonly from: SegmentId;
      readonly segment: SegmentId;
    } & RangeOf)
  | ({ readonly type: "handed-over"; readonly epoch: bigint } & RangeOf)
  | ({ readonly type: "append-failed"; readonly segment: SegmentId; readonly cause: unknown } & RangeOf)
  /** The range was given back because of a segment that can't be sealed, or something else that is in the way. */
  | ({
      readonly type: "blocked";
      readonly by: SegmentId | undefined;
      readonly cause: unknown;
      readonly retryAfterMs: number;
    } & RangeOf)
  | { readonly type: "sealed"; readonly segment: SegmentId; readonly lastSequence: number }
  | { readonly type: "archived"; readonly segment: SegmentId }
  | {
      readonly type: "archive-failed";
      readonly segment: SegmentId;
      readonly cause: unknown;
      readonly retryAfterMs: number;
    }
  | {
      readonly type: "alarm";
      readonly message: string;
      readonly segment: SegmentId | undefined;
      readonly cause: unknown;
    };

/** The options as every part of the buffer sees them: checked, nothing left out. */
export interface NodeContext {
  readonly id: string;
  readonly address: string;
  readonly coord: Coord;
  readonly logs: SegmentLogStore;
  readonly archive: SegmentArchive;
  readonly clock: Runtime["clock"];
  readonly random: Runtime["random"];
  readonly leaseTtlMs: number;
  readonly segmentMaxBytes: number;
  readonly segmentMaxAgeMs: number;
  readonly hotBytes: number;
  readonly maxQueuedBytes: number;
  readonly groupMaxBytes: number;
  readonly maxIndexedKeys: number;
  readonly graceMs: number;
  readonly readersGraceMs: number;
  readonly emit: (event: BufferEvent) => void;
}

const MIB = 1024 * 1024;

/** @throws TopicError "invalid-argument" */
export function checkOptions(options: BufferOptions, defaults: Runtime): NodeContext {
  const { id, address, coord, logs, archive, runtime = defaults, onEvent } = options;
  if (typeof id !== "string" || !/^[A-Za-z0-9_.-]{1,128}$/.test(id)) {
    throw invalid(`the id of a buffer is 1 to 128 letters, digits, "_", "-" or ".", not ${quote(id)}`);
  }
  if (typeof address !== "string" || !/^(\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):\d{1,5}$/.test(address)) {
    throw invalid(`the address of a buffer is "host:port", not ${quote(address)}`);
  }
  const count = (name: keyof BufferOptions, fallback: number, max?: number): number => {
    const value = options[name] ?? fallback;
    const fits = typeof value === "number" && Number.isFinite(value) && value > 0;
    if (fits && (max === undefined || value <= max)) return value;
    const allowed = max === undefined ? "" : ` and up to ${max}`;
    throw invalid(`${name} must be a number above 0${allowed}, not ${String(value)}`);
  };
  return {
    id,
    address,
    coord,
    logs,
    archive,
    clock: runtime.clock,
    random: runtime.random,
    leaseTtlMs: count("leaseTtlMs", 5_000),
    segmentMaxBytes: count("segmentMaxBytes", 256 * MIB),
    segmentMaxAgeMs: count("segmentMaxAgeMs", 600_000),
    hotBytes: count("hotBytes", 256 * MIB),
    maxQueuedBytes: count("maxQueuedBytes", 16 * MIB),
    groupMaxBytes: count("groupMaxBytes", MIB, MAX_BATCH_BYTES),
    maxIndexedKeys: count("maxIndexedKeys", 100_000),
    graceMs: count("graceMs", 1_000),
    readersGraceMs: count("readersGraceMs", 30_000),
    emit: onEvent ?? (() => {}),
  };
}

function invalid(message: string): TopicError {
  return new TopicError("invalid-argument", message);
}

function quote(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value).slice(0, 64) : String(value);
}
