import { crc32 } from "node:zlib";
import type { FileHandle, FileSystem } from "@x/coord";
import { hasCode } from "./errors.js";
import type { LogPoint } from "./log-scanner.js";
import type { LogPaths } from "./paths.js";

/**
 * The file that seals a log by being there. A sealer that has found an end leaves it inside, little-endian:
 *
 * ```
 *  0 8   nonce of the log
 *  8 u64 offset of the end
 * 16 u64 last sequence
 * 24 u64 highest id time
 * 32 u32 checksum of the last frame
 * 36 u32 CRC-32 of bytes 0 to 36
 * ```
 *
 * One sector, overwritten in place: should it tear, its checksum does not match and the next sealer scans everything. It is
 * where a later scan starts, not the end of the segment: two sealers of a log whose writer is still at work may leave
 * different ends, in any order. Everything below each of them was durable before it was left here.
 */
const BYTES = 40;

/** Creates the marker, or takes the one that is there; durable on return. */
export async function placeMarker(fileSystem: FileSystem, paths: LogPaths): Promise<FileHandle> {
  let marker: FileHandle;
  try {
    marker = await fileSystem.open(paths.marker, "create");
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    marker = await fileSystem.open(paths.marker, "update");
  }
  try {
    await marker.datasync();
    await fileSystem.syncDirectory(paths.directory);
    return marker;
  } catch (error) {
    await marker.close();
    throw error;
  }
}

export async function readMarkedEnd(marker: FileHandle, nonce: Buffer): Promise<LogPoint | undefined> {
  const bytes = Buffer.alloc(BYTES);
  if ((await marker.read(bytes, 0)) < BYTES) return undefined;
  if (bytes.readUInt32LE(36) !== crc32(bytes.subarray(0, 36)) || !bytes.subarray(0, 8).equals(nonce))
    return undefined;
  return {
    offset: Number(bytes.readBigUInt64LE(8)),
    sequence: Number(bytes.readBigUInt64LE(16)),
    time: bytes.readBigUInt64LE(24),
    checksum: bytes.readUInt32LE(32),
  };
}

export async function writeMarkedEnd(marker: FileHandle, nonce: Buffer, end: LogPoint): Promise<void> {
  const bytes = Buffer.alloc(BYTES);
  bytes.set(nonce, 0);
  bytes.writeBigUInt64LE(BigInt(end.offset), 8);
  bytes.writeBigUInt64LE(BigInt(end.sequence), 16);
  bytes.writeBigUInt64LE(end.time, 24);
  bytes.writeUInt32LE(end.checksum, 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
  await marker.write([bytes], 0);
  await marker.datasync();
}
