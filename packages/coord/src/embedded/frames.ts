import { crc32 } from "node:zlib";
import { CoordError } from "../errors.js";

// A log file is a header and then frames. One frame is one group commit, checksummed as a whole, and the next one is written
// only after it was synced. So a frame that is damaged while a later one is sound was damaged after it was durable, and
// a damaged one with nothing sound behind it is the write that a crash cut off, of which nothing was acknowledged.

const fileMagic = 0x4c_57_43_78;
const frameMagic = 0xf5_9b_43_c3;
const version = 1;
export const nonceBytes = 16;
export const fileHeaderBytes: number = 4 + 4 + nonceBytes + 4;
export const frameHeaderBytes = 20;

/** The start of a log file. The nonce is random: it is mixed into all sums, so that no value that a client stores can look like a frame. */
export function encodeFileHeader(nonce: Uint8Array): Uint8Array {
  const header = new Uint8Array(fileHeaderBytes);
  const view = new DataView(header.buffer);
  view.setUint32(0, fileMagic, true);
  view.setUint32(4, version, true);
  header.set(nonce, 8);
  view.setUint32(8 + nonceBytes, crc32(header.subarray(0, 8 + nonceBytes)), true);
  return header;
}

/** magic, number of the frame in the file from 1, length of the payload, sum of the payload, sum of this header; all u32. */
export function encodeFrameHeader(nonce: Uint8Array, sequence: number, payload: Uint8Array): Uint8Array {
  const header = new Uint8Array(frameHeaderBytes);
  const view = new DataView(header.buffer);
  view.setUint32(0, frameMagic, true);
  view.setUint32(4, sequence, true);
  view.setUint32(8, payload.byteLength, true);
  view.setUint32(12, crc32(payload, crc32(nonce)), true);
  view.setUint32(16, crc32(header.subarray(0, 16), crc32(nonce)), true);
  return header;
}

/**
 * The payloads of the sound frames of a log file, in order, without a torn end.
 * @throws CoordError "corrupt" if a sound frame follows a damaged one, or the file's header is damaged
 */
export function decodeFile(file: Uint8Array, name: string): Uint8Array[] {
  const nonce = decodeFileHeader(file, name);
  const payloads: Uint8Array[] = [];
  let at = fileHeaderBytes;
  for (;;) {
    const payload = frameAt(file, at, nonce, (sequence) => sequence === payloads.length + 1);
    if (payload === undefined) break;
    payloads.push(payload);
    at += frameHeaderBytes + payload.byteLength;
  }
  for (let later = at + 1; later <= file.byteLength - frameHeaderBytes; later++) {
    if (frameAt(file, later, nonce, (sequence) => sequence > payloads.length) === undefined) continue;
    throw new CoordError(
      "corrupt",
      `${name} is damaged at byte ${at}: the log goes on soundly at byte ${later}`,
    );
  }
  return payloads;
}

function decodeFileHeader(file: Uint8Array, name: string): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (
    file.byteLength < fileHeaderBytes ||
    view.getUint32(0, true) !== fileMagic ||
    view.getUint32(8 + nonceBytes, true) !== crc32(file.subarray(0, 8 + nonceBytes))
  ) {
    throw new CoordError("corrupt", `${name} does not begin with the header of a log`);
  }
  const found = view.getUint32(4, true);
  if (found !== version)
    throw new CoordError("corrupt", `${name} has format ${found}, this program knows format ${version}`);
  return file.subarray(8, 8 + nonceBytes);
}

function frameAt(
  file: Uint8Array,
  at: number,
  nonce: Uint8Array,
  accepts: (sequence: number) => boolean,
): Uint8Array | undefined {
  if (at + frameHeaderBytes > file.byteLength) return undefined;
  const view = new DataView(file.buffer, file.byteOffset + at, frameHeaderBytes);
  if (view.getUint32(0, true) !== frameMagic || !accepts(view.getUint32(4, true))) return undefined;
  // The header has a sum of its own, so that a search for a sound frame does not sum up megabytes at each guess.
  if (view.getUint32(16, true) !== crc32(file.subarray(at, at + 16), crc32(nonce))) return undefined;
  const start = at + frameHeaderBytes;
  const length = view.getUint32(8, true);
  if (start + length > file.byteLength) return undefined;
  const payload = file.subarray(start, start + length);
  return view.getUint32(12, true) === crc32(payload, crc32(nonce)) ? payload : undefined;
}
