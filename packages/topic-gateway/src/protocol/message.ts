/**
 * The body of a message: encoded once by the publisher, stored and delivered as it is.
 *
 * Little-endian: u8 flags (1: a producer follows), u8 length of the key, u16 length of the headers, i64 time (microseconds since
 * 1970, the publisher's), [16 bytes producer id, u64 producer sequence], key, headers (each u16 length, name, u16 length, value; UTF-8), data.
 */
import { isUtf8 } from "node:buffer";
import { TopicError } from "../errors.js";
import { checkKey, MAX_KEY_BYTES } from "./names.js";

export type Headers = Readonly<Record<string, string>>;

export interface MessageBody {
  readonly key: string;
  readonly data: Uint8Array;
  readonly headers?: Headers;
  /** Microseconds since 1970 by the publisher's clock. */
  readonly time: number;
  readonly producer?: { readonly id: Uint8Array; readonly sequence: bigint };
}

/** Of the data of one message. */
export const MAX_DATA_BYTES: number = 1024 * 1024;
/** Of all headers of one message, as encoded. */
export const MAX_HEADER_BYTES: number = 16 * 1024;

const FIXED = 12;
const PRODUCER = 24;
const HAS_PRODUCER = 1;
export const MAX_BODY_BYTES: number = FIXED + PRODUCER + MAX_KEY_BYTES + MAX_HEADER_BYTES + MAX_DATA_BYTES;

/** @throws TopicError "invalid-key", "message-too-large", "invalid-argument" */
export function encodeBody(body: MessageBody): Buffer {
  const { key, data, producer } = body;
  checkKey(key);
  if (data.length > MAX_DATA_BYTES) {
    throw new TopicError(
      "message-too-large",
      `the data of a message has ${data.length} bytes: up to ${MAX_DATA_BYTES} are allowed`,
    );
  }
  if (producer) checkProducer(producer);
  const keyBytes = Buffer.byteLength(key, "utf8");
  const headers = body.headers ? encodeHeaders(body.headers) : undefined;
  const start = FIXED + (producer ? PRODUCER : 0);
  const headerBytes = headers?.length ?? 0;
  const out = Buffer.allocUnsafe(start + keyBytes + headerBytes + data.length);
  out[0] = producer ? HAS_PRODUCER : 0;
  out[1] = keyBytes;
  out.writeUInt16LE(headerBytes, 2);
  // A safe integer of microseconds reaches the year 2255; two 32-bit writes spare a bigint on the hot path.
  const time = Math.floor(body.time);
  if (!Number.isSafeInteger(time)) {
    throw new TopicError(
      "invalid-argument",
      `the time of a message is ${body.time}: microseconds since 1970 are allowed, up to the year 2255`,
    );
  }
  out.writeUInt32LE(time >>> 0, 4);
  out.writeInt32LE(Math.floor(time / 2 ** 32), 8);
  if (producer) {
    out.set(producer.id, 12);
    out.writeBigUInt64LE(producer.sequence, 28);
  }
  out.write(key, start, "utf8");
  if (headers) out.set(headers, start + keyBytes);
  out.set(data, start + keyBytes + headerBytes);
  return out;
}

/** The key alone, for routing and order. @throws TopicError "invalid-argument" */
export function keyOfBody(body: Buffer): string {
  const start = checkBody(body);
  return body.toString("utf8", start, start + (body[1] as number));
}

/** `data` is a view of `body`, not a copy. @throws TopicError "invalid-argument" */
export function decodeBody(body: Buffer): MessageBody {
  const start = checkBody(body);
  const headersAt = start + (body[1] as number);
  const dataAt = headersAt + body.readUInt16LE(2);
  return {
    key: body.toString("utf8", start, headersAt),
    data: body.subarray(dataAt),
    time: timeOf(body),
    ...(dataAt > headersAt && { headers: decodeHeaders(body.subarray(headersAt, dataAt)) }),
    ...(start > FIXED && { producer: { id: body.subarray(12, 28), sequence: body.readBigUInt64LE(28) } }),
  };
}

/** Where the key starts. Everything that a stranger may have sent is checked here. */
export function checkBody(body: Buffer): number {
  const flags = body.length >= FIXED ? (body[0] as number) : -1;
  if (flags !== 0 && flags !== HAS_PRODUCER) malformed("its flags are unknown");
  const start = FIXED + (flags === HAS_PRODUCER ? PRODUCER : 0);
  const keyBytes = body[1] as number;
  const dataBytes = body.length - start - keyBytes - body.readUInt16LE(2);
  if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES)
    malformed(`its key has ${keyBytes} bytes: 1 to ${MAX_KEY_BYTES} are allowed`);
  if (body.readUInt16LE(2) > MAX_HEADER_BYTES) malformed("its headers are too large");
  if (dataBytes < 0) malformed("it is cut off");
  if (dataBytes > MAX_DATA_BYTES)
    malformed(`its data has ${dataBytes} bytes: up to ${MAX_DATA_BYTES} are allowed`);
  // Beyond, a number would not be what was sent, nor a date.
  if (!Number.isSafeInteger(timeOf(body))) malformed("its time is not before the year 2255");
  const headersAt = start + keyBytes;
  // Two keys that are different bytes must not become one text.
  if (!isAscii(body, start, headersAt) && !isUtf8(body.subarray(start, headersAt)))
    malformed("its key is not UTF-8");
  if (!areHeaders(body, headersAt, headersAt + body.readUInt16LE(2))) malformed("its headers are cut off");
  return start;
}

function timeOf(body: Buffer): number {
  return body.readInt32LE(8) * 2 ** 32 + body.readUInt32LE(4);
}

function isAscii(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if ((bytes[at] as number) > 0x7f) return false;
  return true;
}

/** An even number of texts, each with its length before it. */
function areHeaders(bytes: Buffer, from: number, to: number): boolean {
  let texts = 0;
  let at = from;
  for (; at + 2 <= to; texts++) at += 2 + bytes.readUInt16LE(at);
  return at === to && texts % 2 === 0;
}

function checkProducer({ id, sequence }: { readonly id: Uint8Array; readonly sequence: bigint }): void {
  if (id.length !== 16) {
    throw new TopicError("invalid-argument", `a producer's id has ${id.length} bytes: 16 are allowed`);
  }
  if (sequence < 0n || sequence >= 1n << 64n) {
    throw new TopicError(
      "invalid-argument",
      `the sequence of a producer is ${sequence}: 0 to 2^64 - 1 is allowed`,
    );
  }
}

function encodeHeaders(headers: Headers): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (name === "" || typeof value !== "string") {
      throw new TopicError(
        "invalid-argument",
        `headers are texts with a name, ${JSON.stringify(name)} is ${typeof value}`,
      );
    }
    for (const text of [name, value]) {
      const bytes = Buffer.from(text, "utf8");
      const length = Buffer.alloc(2);
      length.writeUInt16LE(Math.min(bytes.length, 0xffff));
      parts.push(length, bytes);
    }
  }
  const out = Buffer.concat(parts);
  if (out.length > MAX_HEADER_BYTES) {
    throw new TopicError(
      "message-too-large",
      `the headers of a message have ${out.length} bytes: up to ${MAX_HEADER_BYTES} are allowed`,
    );
  }
  return out;
}

/** Of headers that checkBody looked at. */
function decodeHeaders(bytes: Buffer): Headers {
  const texts: string[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const end = at + 2 + bytes.readUInt16LE(at);
    texts.push(bytes.toString("utf8", at + 2, end));
    at = end;
  }
  // fromEntries defines own properties, so that a header "__proto__" is only a header.
  return Object.fromEntries(
    Array.from({ length: texts.length / 2 }, (_, i) => [texts[2 * i], texts[2 * i + 1]]),
  ) as Headers;
}

function malformed(why: string): never {
  throw new TopicError("invalid-argument", `the body of a message is malformed: ${why}`);
}
