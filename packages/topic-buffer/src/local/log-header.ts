import type { FileHandle } from "@x/coord";
import {
  continueChain,
  FRAME_HEADER_BYTES,
  type FrameChain,
  MAX_FRAME_BYTES,
  NONCE_BYTES,
  readFrame,
  TopicError,
} from "@x/topic-gateway/protocol";
import type { LogPoint } from "./log-scanner.js";

/** The point behind the header frame. @throws TopicError "corrupt" */
export async function readHeader(file: FileHandle, log: { name: string; nonce: Buffer }): Promise<LogPoint> {
  let space = Buffer.allocUnsafe(4096);
  let bytes = space.subarray(0, await file.read(space, 0));
  const size = bytes.length >= 4 ? bytes.readUInt32LE(0) : 0;
  if (size > bytes.length && size <= MAX_FRAME_BYTES) {
    space = Buffer.allocUnsafe(size);
    bytes = space.subarray(0, await file.read(space, 0));
  }
  const start = parseHeader(bytes, log.nonce);
  if (start) return start;
  throw new TopicError("corrupt", `the log ${log.name} is damaged at byte 0: its header is not valid`);
}

/** Undefined if the bytes do not start with a valid header frame of the log with this nonce. */
export function parseHeader(bytes: Buffer, nonce: Uint8Array): LogPoint | undefined {
  const frame = readFrame(bytes, 0);
  if (typeof frame === "string" || frame.kind !== "header" || nonce.length !== NONCE_BYTES) return undefined;
  const chain: FrameChain = { nonce, checksum: 0, lastSequence: 0, lastTime: frame.time };
  if (!continueChain(chain, bytes, 0, frame)) return undefined;
  // The end of a segment without messages must not be before its start, which only the body tells.
  const start = startTime(frame.body);
  const time = start !== undefined && start > chain.lastTime ? start : chain.lastTime;
  return { offset: frame.next, checksum: chain.checksum, sequence: 0, time };
}

function startTime(body: Buffer): bigint | undefined {
  try {
    const text: unknown = JSON.parse(body.toString("utf8"))?.startTime;
    return typeof text === "string" && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Where a log stands after some frames that are to be appended, or undefined if they do not connect to where it stands.
 * Only links are looked at: the frames were encoded in this process a moment ago.
 */
export function connect(from: LogPoint, frames: Buffer, nonce: Buffer): LogPoint | undefined {
  let { offset, checksum, sequence, time } = from;
  const group = sequence + 1;
  let at = 0;
  while (at < frames.length) {
    if (at + FRAME_HEADER_BYTES > frames.length) return undefined;
    const size = frames.readUInt32LE(at);
    if (size < FRAME_HEADER_BYTES || at + size > frames.length) return undefined;
    const kind = frames[at + 12];
    if (kind === 1) return undefined;
    if (kind === 2) sequence += 1;
    const connected =
      frames.readUInt32LE(at + 8) === checksum &&
      count(frames, at + 24) === sequence &&
      count(frames, at + 32) === group &&
      frames.compare(nonce, 0, NONCE_BYTES, at + 16, at + 16 + NONCE_BYTES) === 0;
    if (!connected) return undefined;
    checksum = frames.readUInt32LE(at + 4);
    at += size;
    if (at === frames.length) {
      const last = frames.readBigUInt64LE(at - size + 40);
      if (last > time) time = last;
    }
  }
  offset += frames.length;
  return { offset, checksum, sequence, time };
}

function count(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}
