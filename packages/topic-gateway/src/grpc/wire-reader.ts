/** The little of protobuf's wire format that the messages of the hot path need, without copies of `bytes`. */
import { TopicError } from "../errors.js";

/** Low bits of a 64-bit number that come in whole bytes of a varint and fit into a number. */
const LOW_BITS = 49n;
const LOW_BYTES = 7;

/** Takes a message apart; what is `bytes` is a view of it. @throws TopicError "invalid-argument" for what is no such message */
export class WireReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Up to 2^53; where this is used, a larger one is no number that the protocol has. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw malformed();
        return value;
      }
      scale *= 128;
    }
    throw malformed();
  }

  varint64(): bigint {
    let low = 0;
    let scale = 1;
    for (let i = 0; i < LOW_BYTES; i++) {
      const byte = this.#byte();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return BigInt(low);
      scale *= 128;
    }
    return BigInt.asUintN(64, (BigInt(this.varint()) << LOW_BITS) | BigInt(low));
  }

  bytes(): Buffer {
    const length = this.varint();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw malformed();
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint64();
    else if (wireType === 1) this.#at += 8;
    else if (wireType === 2) this.bytes();
    else if (wireType === 5) this.#at += 4;
    else throw malformed();
    if (this.#at > this.#bytes.length) throw malformed();
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw malformed();
    this.#at += 1;
    return byte;
  }
}

function malformed(): TopicError {
  return new TopicError("invalid-argument", "bytes are no protobuf message of their kind");
}

/** The longest varint. */
export const MAX_VARINT_BYTES = 10;

/** Writes a number of up to 2^53 and gives where it ends. */
export function writeVarint(out: Uint8Array, value: number, at: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x80) {
    out[position] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
    position += 1;
  }
  out[position] = rest;
  return position + 1;
}

export function writeVarint64(out: Uint8Array, value: bigint, at: number): number {
  if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return writeVarint(out, Number(value), at);
  let low = Number(BigInt.asUintN(Number(LOW_BITS), value));
  for (let i = 0; i < LOW_BYTES; i++) {
    out[at + i] = (low % 0x80) | 0x80;
    low = Math.floor(low / 0x80);
  }
  return writeVarint(out, Number(value >> LOW_BITS), at + LOW_BYTES);
}
