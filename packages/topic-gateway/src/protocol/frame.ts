/**
 * Frames: how a segment's log holds messages. Little-endian:
 *
 * ```
 *  0 u32 size        of the whole frame
 *  4 u32 checksum    CRC-32 of bytes 8 to size
 *  8 u32 previous    the checksum of the frame before, 0 in the header frame
 * 12 u8  kind        1 header, 2 message, 3 checkpoint, 4 seal
 * 13 u8  version     1
 * 14 u16 0
 * 16 8   nonce       of the log: bytes of an older file are never taken for ours
 * 24 u64 sequence    1, 2, 3, ... for messages; others repeat the last one
 * 32 u64 group       the first sequence of the write that the frame came with (0 with the header): everything below was durable before
 * 40 u64 time        of the message id, 100 ns since 1582-10-15
 * 48     body
 * ```
 *
 * `group` tells a torn tail from damage: sectors of one unsynced write may reach the disk in any order, so after a power cut a
 * valid frame can follow a broken one of its own group. Behind a broken frame of an earlier group it can't: that is corruption.
 */
import { crc32 } from "node:zlib";
import { TopicError } from "../errors.js";
import type { IdRun } from "./buffer-api.js";
import { MAX_BODY_BYTES } from "./message.js";

export const FRAME_HEADER_BYTES = 48;
export const NONCE_BYTES = 8;
const VERSION = 1;
/** A header frame also lists predecessors, so it may be larger than a message. */
export const MAX_FRAME_BYTES: number = FRAME_HEADER_BYTES + Math.max(MAX_BODY_BYTES, 4 * 1024 * 1024);

export type FrameKind = "header" | "message" | "checkpoint" | "seal";
const KINDS: readonly (FrameKind | undefined)[] = [undefined, "header", "message", "checkpoint", "seal"];

/** Where a log stands: what the next frame must connect to. */
export interface FrameChain {
  readonly nonce: Uint8Array;
  checksum: number;
  lastSequence: number;
  /** The highest id time so far. */
  lastTime: bigint;
}

export interface Frame {
  readonly kind: FrameKind;
  readonly sequence: number;
  readonly time: bigint;
  readonly group: number;
  /** A view of the bytes that were read. */
  readonly body: Buffer;
  /** Where the next frame starts. */
  readonly next: number;
}

/** A header frame and the chain that starts with it. */
export function encodeHeaderFrame(
  nonce: Uint8Array,
  lineageTime: bigint,
  body: Uint8Array,
): { frame: Buffer; chain: FrameChain } {
  const chain: FrameChain = {
    nonce: Uint8Array.from(nonce),
    checksum: 0,
    lastSequence: 0,
    lastTime: lineageTime,
  };
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.length);
  writeFrame(frame, 0, frame.length, chain, 1, 0, lineageTime, body);
  return { frame, chain };
}

/**
 * Frames of messages as one write, with times `firstTime`, `firstTime + 1`, ... and dense sequences. Moves the chain forward.
 * `offsets` are where the frames start, for reading from the middle.
 */
export function encodeMessageFrames(
  chain: FrameChain,
  bodies: readonly Uint8Array[],
  firstTime: bigint,
): { bytes: Buffer; run: IdRun; offsets: number[] } {
  let total = 0;
  for (const body of bodies) total += FRAME_HEADER_BYTES + body.length;
  // Kept as hot memory afterwards: its own allocation, so that it frees as a whole.
  const bytes = Buffer.allocUnsafeSlow(total);
  const group = chain.lastSequence + 1;
  const offsets: number[] = [];
  let at = 0;
  let time = firstTime;
  for (const body of bodies) {
    const size = FRAME_HEADER_BYTES + body.length;
    chain.lastSequence += 1;
    offsets.push(at);
    writeFrame(bytes, at, size, chain, 2, group, time, body);
    at += size;
    time += 1n;
  }
  if (bodies.length > 0) chain.lastTime = time - 1n;
  return { bytes, run: { time: firstTime, sequence: group, count: bodies.length }, offsets };
}

function writeFrame(
  out: Buffer,
  at: number,
  size: number,
  chain: FrameChain,
  kind: number,
  group: number,
  time: bigint,
  body: Uint8Array,
): void {
  out.writeUInt32LE(size, at);
  out.writeUInt32LE(chain.checksum, at + 8);
  out.writeUInt32LE(kind | (VERSION << 8), at + 12);
  out.set(chain.nonce, at + 16);
  writeCount(out, chain.lastSequence, at + 24);
  writeCount(out, group, at + 32);
  out.writeBigUInt64LE(time, at + 40);
  out.set(body, at + FRAME_HEADER_BYTES);
  chain.checksum = crc32(out.subarray(at + 8, at + size));
  out.writeUInt32LE(chain.checksum, at + 4);
}

function writeCount(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value >>> 0, at);
  out.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

function readCount(from: Buffer, at: number): number {
  return from.readUInt32LE(at + 4) * 2 ** 32 + from.readUInt32LE(at);
}

/** Why there is no frame: too few bytes to tell, or bytes that are not a frame. */
export type NoFrame = "short" | "invalid";

/** The frame at an offset by its own checksum; the caller looks at how it connects. */
export function readFrame(bytes: Buffer, at: number): Frame | NoFrame {
  if (at + 4 > bytes.length) return "short";
  const size = bytes.readUInt32LE(at);
  if (size < FRAME_HEADER_BYTES || size > MAX_FRAME_BYTES) return "invalid";
  if (at + size > bytes.length) return "short";
  if (bytes.readUInt32LE(at + 4) !== crc32(bytes.subarray(at + 8, at + size))) return "invalid";
  const kind = KINDS[bytes[at + 12] as number];
  if (kind === undefined || bytes[at + 13] !== VERSION) return "invalid";
  return {
    kind,
    sequence: readCount(bytes, at + 24),
    group: readCount(bytes, at + 32),
    time: bytes.readBigUInt64LE(at + 40),
    body: bytes.subarray(at + FRAME_HEADER_BYTES, at + size),
    next: at + size,
  };
}

/** The nonce and both checksums of a frame that readFrame accepted. */
export function frameLinks(bytes: Buffer, at: number): { nonce: Buffer; checksum: number; previous: number } {
  return {
    nonce: bytes.subarray(at + 16, at + 16 + NONCE_BYTES),
    checksum: bytes.readUInt32LE(at + 4),
    previous: bytes.readUInt32LE(at + 8),
  };
}

/** Whether a valid frame continues the chain; if so the chain moves on. */
export function continueChain(chain: FrameChain, bytes: Buffer, at: number, frame: Frame): boolean {
  const links = frameLinks(bytes, at);
  const sequence = chain.lastSequence + (frame.kind === "message" ? 1 : 0);
  if (links.previous !== chain.checksum || frame.sequence !== sequence || !links.nonce.equals(chain.nonce))
    return false;
  chain.checksum = links.checksum;
  chain.lastSequence = sequence;
  if (frame.time > chain.lastTime) chain.lastTime = frame.time;
  return true;
}

/**
 * After damage at `from`, where sequence `missing` should be: the offset of a later frame of this log that proves that the
 * damaged bytes had been durable before, or undefined if all that follows can be a torn write.
 */
export function findProofOfDamage(
  bytes: Buffer,
  from: number,
  nonce: Uint8Array,
  missing: number,
): number | undefined {
  let found = bytes.indexOf(nonce, from + 16);
  while (found !== -1) {
    const at = found - 16;
    const frame = readFrame(bytes, at);
    if (typeof frame === "object" && frame.group > missing) return at;
    found = bytes.indexOf(nonce, found + 1);
  }
  return undefined;
}

/** The message frames in bytes that a buffer delivered. @throws TopicError "corrupt" */
export function* messagesInFrames(bytes: Buffer): Generator<Frame> {
  let at = 0;
  while (at < bytes.length) {
    const frame = readFrame(bytes, at);
    if (typeof frame === "string")
      throw new TopicError("corrupt", `frames as delivered are ${frame} at byte ${at}`);
    if (frame.kind === "message") yield frame;
    at = frame.next;
  }
}
