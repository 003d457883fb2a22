/**
 * Message ids are version-1 UUIDs (RFC 9562, section 5.1).
 *
 * The time is 100 ns since 1582-10-15 and strictly increases along a lineage of segments. The 62 bits that the RFC gives to
 * clock sequence and node hold, from the top: 6 zero bits, the 40 bits of the message's sequence in its segment, and the 16
 * bits of the first hash of the segment's range. Two messages of one topic never have the same id: those of one range differ
 * in time, those of two ranges that live at the same time differ in the first hash.
 */
import { TopicError } from "../errors.js";

export interface MessageIdParts {
  /** 100 ns since 1582-10-15. */
  readonly time: bigint;
  /** 1 for the first message of a segment. */
  readonly sequence: number;
  readonly rangeFrom: number;
}

/** 100 ns between 1582-10-15 and 1970-01-01. */
const TICKS_TO_1970 = 0x01b21dd213814000n;
export const MAX_TICKS: bigint = (1n << 60n) - 1n;
export const MAX_SEQUENCE: number = 2 ** 40 - 1;
/** What a wire that needs a UUID says for "before the first message". */
export const NIL_ID = "00000000-0000-0000-0000-000000000000";

/** @throws TopicError "invalid-argument" for what is no number, or none that is a time */
export function ticksOfMs(unixMs: number): bigint {
  const ticks = typeof unixMs === "number" ? Math.floor(unixMs * 10_000) : Number.NaN;
  if (!Number.isFinite(ticks)) {
    throw new TopicError(
      "invalid-argument",
      `${String(unixMs)} is no time: a number of milliseconds since 1970 is allowed`,
    );
  }
  return BigInt(ticks) + TICKS_TO_1970;
}

/** Milliseconds since 1970, with a fraction. */
export function msOfTicks(ticks: bigint): number {
  return Number(ticks - TICKS_TO_1970) / 10_000;
}

/** Microseconds since 1970. */
export function microsOfTicks(ticks: bigint): bigint {
  return (ticks - TICKS_TO_1970) / 10n;
}

export function ticksOfMicros(micros: bigint): bigint {
  return micros * 10n + TICKS_TO_1970;
}

export function encodeMessageId(parts: MessageIdParts): Uint8Array {
  const bytes = new Uint8Array(16);
  writeMessageId(new DataView(bytes.buffer), parts);
  return bytes;
}

function writeMessageId(view: DataView, { time, sequence, rangeFrom }: MessageIdParts): void {
  view.setUint32(0, Number(time & 0xffffffffn));
  view.setUint16(4, Number((time >> 32n) & 0xffffn));
  view.setUint16(6, Number((time >> 48n) & 0x0fffn) | 0x1000);
  // 62 bits, of which the top 6 are zero: variant bits first, then 8 bits of the sequence, then 32, then the range.
  view.setUint16(8, 0x8000 | Math.floor(sequence / 2 ** 32));
  view.setUint32(10, sequence >>> 0);
  view.setUint16(14, rangeFrom);
}

/** Written and read within one call: every message published and delivered is given its id as text. */
const scratch: Buffer = Buffer.alloc(16);
const scratchView: DataView = new DataView(scratch.buffer, scratch.byteOffset, scratch.length);

/** Lower-case text, 36 characters. */
export function formatMessageId(parts: MessageIdParts): string {
  writeMessageId(scratchView, parts);
  const hex = scratch.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-80[0-9a-f]{2}-[0-9a-f]{12}$/i;

/** @throws TopicError "invalid-id" if it is not an id that this system gives out */
export function parseMessageId(text: string): MessageIdParts {
  if (typeof text !== "string" || !UUID.test(text)) {
    throw new TopicError(
      "invalid-id",
      `${JSON.stringify(text)?.slice(0, 64)} is not a message id: the version-1 UUID of a message, as text, is allowed`,
    );
  }
  return decodeMessageId(Buffer.from(text.replaceAll("-", ""), "hex"));
}

/** @throws TopicError "invalid-id" */
export function decodeMessageId(bytes: Uint8Array): MessageIdParts {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length !== 16 || view.getUint16(6) >> 12 !== 1 || view.getUint8(8) !== 0x80) {
    throw new TopicError("invalid-id", "not the 16 bytes of a message id");
  }
  const time =
    (BigInt(view.getUint16(6) & 0x0fff) << 48n) |
    (BigInt(view.getUint16(4)) << 32n) |
    BigInt(view.getUint32(0));
  return { time, sequence: view.getUint8(9) * 2 ** 32 + view.getUint32(10), rangeFrom: view.getUint16(14) };
}
