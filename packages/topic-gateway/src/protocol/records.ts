/** The values of etcd keys: JSON, the seed's fields where it has them, ours in lower case. 64-bit numbers of ours are decimal text. */
import { TopicError } from "../errors.js";
import { checkRangeSizeFactor } from "./hash-range.js";
import { formatMessageId, microsOfTicks, NIL_ID } from "./message-id.js";
import type { SegmentId, SegmentName } from "./segment-id.js";

export type SegmentState = "open" | "sealed" | "archived" | "deleted";

/** Where a sealed segment ends, for everybody and for ever. */
export interface SegmentEnd {
  /** The valid length of its log in bytes. */
  readonly end: number;
  /** 0 for a segment without messages. */
  readonly lastSequence: number;
  /** The highest id time of its lineage so far, in 100 ns since 1582-10-15: never below its start, nor below a predecessor's. */
  readonly lastTime: bigint;
}

export interface SegmentRecord {
  /** The create revision of the topic's key. */
  readonly incarnation: bigint;
  /** The mod revision of the topic's key when the segment was opened. */
  readonly layout: bigint;
  /** The create revision of the range's lease. */
  readonly epoch: bigint;
  /** The name of its log, used once in the history of the world. */
  readonly log: string;
  /** The segments that must be finished before this one is read, by name. */
  readonly predecessors: readonly SegmentName[];
  readonly state: SegmentState;
  /** From `sealed` on. */
  readonly sealed?: SegmentEnd;
}

export type SubscriptionMode = "earliest" | "latest";

export interface SubscriptionRecord {
  readonly mode: SubscriptionMode;
  /** Segments created at or before it that `positions` does not name count as finished. 0n: none does. */
  readonly revision: bigint;
  /** Sequences already passed, by segment. */
  readonly positions: Readonly<Record<string, number>>;
  /** Rises with each seek. */
  readonly generation: number;
}

export interface BookmarkRecord {
  /** Everything up to here is acknowledged. 0: nothing yet. */
  readonly sequence: number;
  /** The id time of that message, 0n for none. */
  readonly time: bigint;
  readonly finished: boolean;
  readonly generation: number;
}

export interface BufferRecord {
  readonly address: string;
}

export function encodeRangeSize(factor: number): string {
  return String(checkRangeSizeFactor(factor));
}

/** @throws TopicError "corrupt" */
export function decodeRangeSize(value: Uint8Array | string): number {
  const text = toText(value);
  try {
    if (/^\d{1,2}$/.test(text)) return checkRangeSizeFactor(Number(text));
  } catch (cause) {
    throw new TopicError("corrupt", `a topic's range size is ${text}`, { cause });
  }
  throw new TopicError("corrupt", `a topic's range size is ${JSON.stringify(text).slice(0, 64)}`);
}

export function encodeSegment(id: SegmentId, record: SegmentRecord): string {
  const { sealed } = record;
  const ours = {
    incarnation: String(record.incarnation),
    layout: String(record.layout),
    epoch: String(record.epoch),
    log: record.log,
    predecessors: record.predecessors,
    state: record.state,
    ...(sealed && { end: sealed.end, lastSeq: sealed.lastSequence, lastTime: String(sealed.lastTime) }),
  };
  // Nanoseconds exceed what a JavaScript number holds, and readers of the seed's fields want numbers: written as text into the JSON.
  const timeFrom = microsOfTicks(id.startTime) * 1000n;
  const timeTo = sealed ? microsOfTicks(sealed.lastTime) * 1000n : 0n;
  const seeds =
    `"HashFrom":${id.range.from},"HashTo":${id.range.to - 1},"TimeFrom":${timeFrom},"TimeTo":${timeTo},` +
    `"Finished":${record.state !== "open"},"Closed":${record.state === "archived" || record.state === "deleted"}`;
  return `{${seeds},${JSON.stringify(ours).slice(1)}`;
}

/** @throws TopicError "corrupt" */
export function decodeSegment(value: Uint8Array | string): SegmentRecord {
  const fields = parseObject(value, "segment");
  const state = oneOf(fields, "state", ["open", "sealed", "archived", "deleted"] as const);
  const predecessors = fields.predecessors;
  if (!Array.isArray(predecessors) || !predecessors.every((p) => typeof p === "string"))
    wrong("predecessors", predecessors);
  const record = {
    incarnation: bigintField(fields, "incarnation"),
    layout: bigintField(fields, "layout"),
    epoch: bigintField(fields, "epoch"),
    log: textField(fields, "log"),
    // The names were written by this codec; they are compared with others, never taken apart.
    predecessors: predecessors as SegmentName[],
    state,
  };
  if (state === "open") return record;
  return {
    ...record,
    sealed: {
      end: countField(fields, "end"),
      lastSequence: countField(fields, "lastSeq"),
      lastTime: bigintField(fields, "lastTime"),
    },
  };
}

export function encodeSubscription(record: SubscriptionRecord): string {
  return JSON.stringify({
    mode: record.mode,
    revision: String(record.revision),
    positions: record.positions,
    generation: record.generation,
  });
}

/** The seed's subscriptions have no value or `1`: they start at the earliest. @throws TopicError "corrupt" */
export function decodeSubscription(value: Uint8Array | string): SubscriptionRecord {
  const text = toText(value);
  if (text === "" || text === "1") return { mode: "earliest", revision: 0n, positions: {}, generation: 1 };
  const fields = parseObject(text, "subscription");
  const positions = fields.positions;
  const isObject = typeof positions === "object" && positions !== null && !Array.isArray(positions);
  if (!isObject || !Object.values(positions).every(isCount)) wrong("positions", positions);
  return {
    mode: oneOf(fields, "mode", ["earliest", "latest"] as const),
    revision: bigintField(fields, "revision"),
    positions: positions as Record<string, number>,
    generation: countField(fields, "generation"),
  };
}

export function encodeBookmark(segment: SegmentId, record: BookmarkRecord): string {
  const { sequence, time } = record;
  const id = sequence === 0 ? NIL_ID : formatMessageId({ time, sequence, rangeFrom: segment.range.from });
  return JSON.stringify({
    MsgId: id,
    Finished: record.finished,
    sequence,
    time: String(time),
    generation: record.generation,
  });
}

/** @throws TopicError "corrupt" */
export function decodeBookmark(value: Uint8Array | string): BookmarkRecord {
  const fields = parseObject(value, "bookmark");
  const finished = fields.Finished;
  if (typeof finished !== "boolean") wrong("Finished", finished);
  return {
    sequence: countField(fields, "sequence"),
    time: bigintField(fields, "time"),
    finished: finished as boolean,
    generation: countField(fields, "generation"),
  };
}

export function encodeBuffer(record: BufferRecord): string {
  return JSON.stringify({ address: record.address });
}

/** @throws TopicError "corrupt" */
export function decodeBuffer(value: Uint8Array | string): BufferRecord {
  return { address: textField(parseObject(value, "buffer"), "address") };
}

/** The address in a lease's or server's value, or undefined for "owned, but not routable". */
export function decodeAddress(value: Uint8Array | string): string | undefined {
  const text = toText(value);
  const port = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) <= 65_535 ? text : undefined;
}

function toText(value: Uint8Array | string): string {
  return typeof value === "string"
    ? value
    : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
}

function parseObject(value: Uint8Array | string, what: string): Record<string, unknown> {
  const text = toText(value);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new TopicError("corrupt", `the record of a ${what} is no JSON: ${text.slice(0, 64)}`, { cause });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new TopicError("corrupt", `the record of a ${what} is no JSON object: ${text.slice(0, 64)}`);
  }
  return parsed as Record<string, unknown>;
}

function bigintField(fields: Record<string, unknown>, name: string): bigint {
  const value = fields[name];
  return typeof value === "string" && /^\d{1,20}$/.test(value) ? BigInt(value) : wrong(name, value);
}

function countField(fields: Record<string, unknown>, name: string): number {
  const value = fields[name];
  return isCount(value) ? value : wrong(name, value);
}

function textField(fields: Record<string, unknown>, name: string): string {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : wrong(name, value);
}

function oneOf<T extends string>(fields: Record<string, unknown>, name: string, allowed: readonly T[]): T {
  const value = allowed.find((one) => one === fields[name]);
  return value ?? wrong(name, fields[name]);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function wrong(name: string, value: unknown): never {
  throw new TopicError(
    "corrupt",
    `the field "${name}" of a record is ${JSON.stringify(value)?.slice(0, 64)}`,
  );
}
