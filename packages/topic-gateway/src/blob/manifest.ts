/**
 * What an archived segment is made of. All numbers are little-endian. A chunk:
 *
 * ```
 *  0 8   "XSEGDATA"
 *  8 u32 version 1
 * 12 u32 0
 * 16 16  the salt of the put
 * 32     message frames, as they were in the log
 * ```
 *
 * The manifest:
 *
 * ```
 *  0 8   "XSEGLIST"
 *  8 u32 version 1
 * 12 u32 number of chunks
 * 16 16  the salt of the put
 * 32 8   nonce of the log, 0 without messages
 * 40 u64 last sequence
 * 48 u32 length of the name
 * 52     name, UTF-8
 *        for each chunk: u64 first sequence, u32 messages, u32 bytes of frames, 32 bytes ref
 * ```
 *
 * The ref of the manifest is its checksum. The salt is new with each put, so that no put relies on blobs of an earlier one, which somebody
 * may be about to delete as garbage: see collector.ts.
 */
import { BlobError, type Ref, type Reference, refBytes, refFromBytes, refToBytes } from "@x/blob-replica";
import { TopicError } from "../errors.js";
import { NONCE_BYTES } from "../protocol/frame.js";

export const SALT_BYTES = 16;
export const CHUNK_HEADER_BYTES = 32;
const VERSION = 1;
const DATA_MAGIC = Buffer.from("XSEGDATA", "latin1");
const LIST_MAGIC = Buffer.from("XSEGLIST", "latin1");
const LIST_HEADER_BYTES = 52;
const ENTRY_BYTES = 16 + refBytes;
const MAX_NAME_BYTES = 1024;

export interface ManifestChunk {
  readonly firstSequence: number;
  readonly count: number;
  /** Of its frames, without its header. */
  readonly bytes: number;
  readonly ref: Ref;
}

export interface Manifest {
  readonly name: string;
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  readonly lastSequence: number;
  readonly chunks: readonly ManifestChunk[];
}

export function writeChunkHeader(chunk: Buffer, salt: Uint8Array): void {
  chunk.set(DATA_MAGIC, 0);
  chunk.writeUInt32LE(VERSION, 8);
  chunk.writeUInt32LE(0, 12);
  chunk.set(salt, 16);
}

/** The frames of a chunk; undefined when these bytes are no chunk of this put. */
export function framesOfChunk(blob: Uint8Array, chunk: ManifestChunk, salt: Uint8Array): Buffer | undefined {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.length);
  if (bytes.length !== CHUNK_HEADER_BYTES + chunk.bytes || !bytes.subarray(0, 8).equals(DATA_MAGIC))
    return undefined;
  if (bytes.readUInt32LE(8) !== VERSION || !bytes.subarray(16, 16 + SALT_BYTES).equals(salt))
    return undefined;
  return bytes.subarray(CHUNK_HEADER_BYTES);
}

export function encodeManifest(manifest: Manifest): Buffer {
  const name = Buffer.from(manifest.name, "utf8");
  const { chunks } = manifest;
  const bytes = Buffer.alloc(LIST_HEADER_BYTES + name.length + chunks.length * ENTRY_BYTES);
  bytes.set(LIST_MAGIC, 0);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(chunks.length, 12);
  bytes.set(manifest.salt, 16);
  bytes.set(manifest.nonce, 32);
  bytes.writeBigUInt64LE(BigInt(manifest.lastSequence), 40);
  bytes.writeUInt32LE(name.length, 48);
  bytes.set(name, LIST_HEADER_BYTES);
  let at = LIST_HEADER_BYTES + name.length;
  for (const chunk of chunks) {
    bytes.writeBigUInt64LE(BigInt(chunk.firstSequence), at);
    bytes.writeUInt32LE(chunk.count, at + 8);
    bytes.writeUInt32LE(chunk.bytes, at + 12);
    bytes.set(refToBytes(chunk.ref), at + 16);
    at += ENTRY_BYTES;
  }
  return bytes;
}

/** @throws TopicError "corrupt" for what is no manifest, of another version, or one that contradicts itself */
export function decodeManifest(blob: Uint8Array): Manifest {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.length);
  if (!isManifest(bytes)) throw new TopicError("corrupt", "this is no manifest of an archived segment");
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) throw new TopicError("corrupt", `this manifest has version ${version}, not 1`);
  const count = bytes.readUInt32LE(12);
  const nameBytes = bytes.readUInt32LE(48);
  if (nameBytes > MAX_NAME_BYTES || bytes.length !== LIST_HEADER_BYTES + nameBytes + count * ENTRY_BYTES) {
    throw new TopicError("corrupt", `a manifest of ${count} chunks does not have ${bytes.length} bytes`);
  }
  const chunks: ManifestChunk[] = [];
  let next = 1;
  for (let at = LIST_HEADER_BYTES + nameBytes; at < bytes.length; at += ENTRY_BYTES) {
    const firstSequence = Number(bytes.readBigUInt64LE(at));
    const chunk = {
      firstSequence,
      count: bytes.readUInt32LE(at + 8),
      bytes: bytes.readUInt32LE(at + 12),
      ref: refFromBytes(bytes.subarray(at + 16, at + ENTRY_BYTES)),
    };
    if (firstSequence !== next || chunk.count === 0) {
      throw new TopicError("corrupt", `a manifest has sequence ${firstSequence} where ${next} should be`);
    }
    next += chunk.count;
    chunks.push(chunk);
  }
  const lastSequence = Number(bytes.readBigUInt64LE(40));
  if (next !== lastSequence + 1) {
    throw new TopicError("corrupt", `the chunks of a manifest end with ${next - 1}, not ${lastSequence}`);
  }
  return {
    name: bytes.toString("utf8", LIST_HEADER_BYTES, LIST_HEADER_BYTES + nameBytes),
    salt: Buffer.from(bytes.subarray(16, 16 + SALT_BYTES)),
    nonce: Buffer.from(bytes.subarray(32, 32 + NONCE_BYTES)),
    lastSequence,
    chunks,
  };
}

/** What a blob of an archive refers to: the chunks of a manifest. @throws BlobError "bad-data" for a manifest that cannot be read */
export function archiveReferences(blob: Uint8Array): readonly Reference[] {
  const bytes = Buffer.from(blob.buffer, blob.byteOffset, blob.length);
  if (!isManifest(bytes)) return [];
  try {
    return decodeManifest(blob).chunks.map(({ ref }) => ({ ref, leaf: true }));
  } catch (cause) {
    throw new BlobError("bad-data", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function isManifest(bytes: Buffer): boolean {
  return bytes.length >= LIST_HEADER_BYTES && bytes.subarray(0, 8).equals(LIST_MAGIC);
}
