import { createHash } from "node:crypto";

/** So many blobs: the same random bytes, and a number in front that makes each another. The same in every run. */
export function blobsOf(count: number, size: number): readonly Uint8Array[] {
  const base = randomBytes(size);
  return Array.from({ length: count }, (_, i) => {
    const blob = new Uint8Array(base);
    new DataView(blob.buffer).setFloat64(0, i);
    return blob;
  });
}

/** Nothing that a disk or a codec could make smaller. */
function randomBytes(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0, block = 0; at < size; block++) {
    const part = createHash("sha256").update(`block ${block}`).digest();
    bytes.set(part.subarray(0, Math.min(part.length, size - at)), at);
    at += part.length;
  }
  return bytes;
}
