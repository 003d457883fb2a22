/** What both ends of the raw log share. */

/** The first byte of a connection. */
export const PUBLISH = 0x50;
/** Followed by a u64 offset. */
export const READ = 0x53;
export const COMMIT = 0x43;

/** Hands on whole records of a size, however the bytes were cut on the way. */
export function inWhole(size: number, use: (records: Buffer) => void): (data: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (data) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, data]) : data;
    const end = bytes.length - (bytes.length % size);
    rest = bytes.subarray(end);
    if (end > 0) use(bytes.subarray(0, end));
  };
}

/** Hands on whole frames (u32 length, little-endian, and payload), and how many they are. */
export function inFrames(use: (frames: Buffer, count: number) => void): (data: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (data) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, data]) : data;
    let end = 0;
    let count = 0;
    for (let next = frameEnd(bytes, 0); next <= bytes.length; next = frameEnd(bytes, end)) {
      end = next;
      count += 1;
    }
    rest = bytes.subarray(end);
    if (count > 0) use(bytes.subarray(0, end), count);
  };
}

export function frameEnd(bytes: Buffer, start: number): number {
  return start + 4 > bytes.length ? Number.POSITIVE_INFINITY : start + 4 + bytes.readUInt32LE(start);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
