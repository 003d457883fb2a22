/** The numbers of the protocol's enums, and their names. */
import type * as wire from "../gen/protocol/protocol.js";
import type { CompressionCodec, JournalFlag, Suspension } from "../protocol/journal-spec.js";
import { type Place, refuse } from "../protocol/refusal.js";
import type { AppendSuspend } from "../protocol/requests.js";
import type { Status } from "../protocol/responses.js";

const STATUSES: readonly Status[] = [
  "OK",
  "JOURNAL_NOT_FOUND",
  "NO_JOURNAL_PRIMARY_BROKER",
  "NOT_JOURNAL_PRIMARY_BROKER",
  "INSUFFICIENT_JOURNAL_BROKERS",
  "NOT_JOURNAL_BROKER",
  "OFFSET_NOT_YET_AVAILABLE",
  "WRONG_ROUTE",
  "PROPOSAL_MISMATCH",
  "ETCD_TRANSACTION_FAILED",
  "NOT_ALLOWED",
  "WRONG_APPEND_OFFSET",
  "INDEX_HAS_GREATER_OFFSET",
  "REGISTER_MISMATCH",
  "SUSPENDED",
  "FRAGMENT_STORE_UNHEALTHY",
];
/** 0 is INVALID, which no fragment and no specification may have. */
const CODECS: readonly (CompressionCodec | undefined)[] = [
  undefined,
  "NONE",
  "GZIP",
  "ZSTANDARD",
  "SNAPPY",
  "GZIP_OFFLOAD_DECOMPRESSION",
];
const LEVELS: readonly Suspension["level"][] = ["NONE", "PARTIAL", "FULL"];
const SUSPENDS: readonly AppendSuspend[] = [
  "SUSPEND_RESUME",
  "SUSPEND_NO_RESUME",
  "SUSPEND_IF_FLUSHED",
  "SUSPEND_NOW",
];
const FLAGS: Readonly<Record<JournalFlag, number>> = { O_RDONLY: 1, O_WRONLY: 2, O_RDWR: 4 };

function named<T>(place: Place, names: readonly (T | undefined)[], number: number): T {
  const name = names[number];
  if (name === undefined) refuse(place, number, "this number has no meaning in the protocol");
  return name;
}

/** @throws JournalError "invalid-response" naming the number, as all of these */
export function statusFromWire(place: Place, number: number): Status {
  return named(place, STATUSES, number);
}

export function codecFromWire(place: Place, number: number): CompressionCodec {
  return named(place, CODECS, number);
}

export function codecToWire(codec: CompressionCodec): wire.CompressionCodec {
  return CODECS.indexOf(codec) as wire.CompressionCodec;
}

export function levelFromWire(place: Place, number: number): Suspension["level"] {
  return named(place, LEVELS, number);
}

export function levelToWire(level: Suspension["level"]): wire.JournalSpec_Suspend_Level {
  return LEVELS.indexOf(level) as wire.JournalSpec_Suspend_Level;
}

export function suspendToWire(suspend: AppendSuspend): wire.AppendRequest_Suspend {
  return SUSPENDS.indexOf(suspend) as wire.AppendRequest_Suspend;
}

/** A bit set on the wire; of its values only 0, 1, 2 and 4 are allowed. */
export function flagsFromWire(place: Place, bits: number): readonly JournalFlag[] {
  if (bits === 0) return [];
  for (const [flag, bit] of Object.entries(FLAGS)) {
    if (bit === bits) return [flag as JournalFlag]; // The keys of a record of flags.
  }
  return refuse(place, bits, "it must be 0, or one of 1 (O_RDONLY), 2 (O_WRONLY), 4 (O_RDWR)");
}

export function flagsToWire(flags: readonly JournalFlag[]): number {
  return flags.reduce((bits, flag) => bits | FLAGS[flag], 0);
}
