import type { Random } from "../clock.js";
import { JournalError } from "../errors.js";
import type { ProducerId } from "./producer.js";

/**
 * The role of a message in a transaction of its producer: the low 10 bits of a UUID's clock sequence.
 * - `OUTSIDE_TXN`: on its own, committed as it is.
 * - `CONTINUE_TXN`: begins a transaction or belongs to one; to be processed when an ACK_TXN with a larger clock was read.
 * - `ACK_TXN`: commits the producer's CONTINUE_TXN messages before it whose clock is not larger than its own. Those with a larger one are
 *   rolled back.
 */
export const Flags = { OUTSIDE_TXN: 0, CONTINUE_TXN: 1, ACK_TXN: 2 } as const;

/** What a UUID of a message says. */
export interface UuidParts {
  readonly producer: ProducerId;
  /** In its 60 high bits the time in units of 100 ns since 1582-10-15, in its 4 low bits a counter. Orders the messages of a producer. */
  readonly clock: bigint;
  /** 0 to 1023; see `Flags`. */
  readonly flags: number;
}

/** Between 1582-10-15 (RFC 4122) and 1970-01-01, in units of 100 ns. */
const gregorianOffset = 122_192_928_000_000_000n;
const maxFlags = 0x3ff;
const maxClock = (1n << 64n) - 1n;

/**
 * A version 1 UUID (RFC 4122) in the manner of Gazette: the time and 4 bits of the clock sequence are the clock, the other 10 the flags,
 * the node is the producer. 16 bytes.
 * @throws JournalError "invalid-argument"
 */
export function buildUuid({ producer, clock, flags }: UuidParts): Uint8Array {
  if (!Number.isInteger(flags) || flags < 0 || flags > maxFlags) {
    throw new JournalError(
      "invalid-argument",
      `flags are a whole number from 0 to ${maxFlags}, not ${flags}`,
    );
  }
  if (clock < 0n || clock > maxClock) {
    throw new JournalError("invalid-argument", `a clock is from 0 to 2^64-1, not ${clock}`);
  }
  const uuid = new Uint8Array(16);
  const view = new DataView(uuid.buffer);
  view.setUint32(0, Number((clock >> 4n) & 0xffff_ffffn));
  view.setUint16(4, Number((clock >> 36n) & 0xffffn));
  view.setUint16(6, Number(clock >> 52n) | 0x1000);
  view.setUint16(8, (Number(clock & 0xfn) << 10) | flags | 0x8000);
  uuid.set(Buffer.from(producer, "hex"), 10);
  return uuid;
}

/** The opposite of `buildUuid`, for any 16 bytes; version and variant are not looked at. @throws JournalError "invalid-argument" */
export function parseUuid(uuid: Uint8Array): UuidParts {
  if (uuid.length !== 16) {
    throw new JournalError("invalid-argument", `a UUID has 16 bytes, not ${uuid.length}`);
  }
  const view = new DataView(uuid.buffer, uuid.byteOffset, 16);
  const sequence = view.getUint16(8);
  const high = BigInt(view.getUint16(6) & 0xfff);
  const middle = BigInt(view.getUint16(4));
  const low = BigInt(view.getUint32(0));
  return {
    producer: Buffer.from(uuid.buffer, uuid.byteOffset + 10, 6).toString("hex") as ProducerId,
    clock: (high << 52n) | (middle << 36n) | (low << 4n) | BigInt((sequence >> 10) & 0xf),
    flags: sequence & maxFlags,
  };
}

/** As text: 8-4-4-4-12 hex digits. @throws JournalError "invalid-argument" */
export function formatUuid(uuid: Uint8Array): string {
  if (uuid.length !== 16) {
    throw new JournalError("invalid-argument", `a UUID has 16 bytes, not ${uuid.length}`);
  }
  const hex = Buffer.from(uuid.buffer, uuid.byteOffset, 16).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const uuidText = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The bytes of a UUID written as 8-4-4-4-12 hex digits. @throws JournalError "invalid-argument" */
export function uuidBytes(text: string): Uint8Array {
  if (!uuidText.test(text)) {
    throw new JournalError(
      "invalid-argument",
      `a UUID is written as 8-4-4-4-12 hex digits, not ${JSON.stringify(text)}`,
    );
  }
  return new Uint8Array(Buffer.from(text.replaceAll("-", ""), "hex"));
}

/** A clock's time as milliseconds since the epoch; the rest of the 100 ns units is cut off. */
export function clockToMs(clock: bigint): number {
  return Number(((clock >> 4n) - gregorianOffset) / 10_000n);
}

/** The clock at this time, with a counter of 0. */
export function clockFromMs(wallMs: number): bigint {
  return (BigInt(Math.round(wallMs * 10_000)) + gregorianOffset) << 4n;
}

/** A clock of messages: it never goes back, however the wall clock does, and each tick is a new value. */
export class MessageClock {
  #now = 0n;

  get now(): bigint {
    return this.#now;
  }

  /** Takes note of the time; an earlier one than it has seen changes nothing. */
  update(wallMs: number): void {
    const next = clockFromMs(wallMs);
    if (next > this.#now) this.#now = next;
  }

  /** The next value: a microsecond further. */
  tick(): bigint {
    this.#now += 160n;
    return this.#now;
  }
}

/** A producer that no other has, but for chance: 47 random bits and the multicast bit, which says that it is no MAC address (RFC 4122). */
export function newProducerId(random: Random): ProducerId {
  const bytes = Uint8Array.from(random.bytes(6));
  bytes[0] = (bytes[0] ?? 0) | 0x01;
  return Buffer.from(bytes).toString("hex") as ProducerId;
}
