import { crc32 } from "node:zlib";
import { BlobError } from "../../errors.js";
import { type Ref, refFromBytes, refToBytes } from "../../ref.js";

/** Of every record: a multiple of it is a sector, so that no record is in two, and a damaged one does not hide those after it. */
export const recordBytes = 64;
/** The width of the two masks. */
export const maxStores = 24;

const magic = "blobque1";

/**
 * - `queued`: an acknowledged put. Bit n of `stores` is set for a store that waits for it, and of `dropped` for one whose queue was full.
 * - `done`: the store has `count` entries from `seq` on.
 * - `lost`: the entry's blob is in no synchronous store any more. `count` is by how much the number of the last put that it stood for is greater: of later ones
 *   nothing is known.
 * - `forgotten`: the blob was deleted.
 * - `synced`: of what the store dropped the first `count` were made good.
 */
export type QueueRecord =
  | {
      readonly kind: "queued";
      readonly seq: number;
      readonly ref: Ref;
      readonly bytes: number;
      readonly wallMs: number;
      readonly stores: number;
      readonly dropped: number;
    }
  | { readonly kind: "done"; readonly store: number; readonly seq: number; readonly count: number }
  | { readonly kind: "lost"; readonly store: number; readonly seq: number; readonly count: number }
  | { readonly kind: "forgotten"; readonly ref: Ref }
  | { readonly kind: "synced"; readonly store: number; readonly count: number };

const kinds = ["", "queued", "done", "lost", "forgotten", "synced"] as const;

/** 0 CRC-32 of the rest, 4 kind, 5 store, 8 seq, 14 wall time, 20 bytes or count, 26 stores, 29 dropped, 32 ref; little-endian. */
export function encodeRecord(record: QueueRecord): Buffer {
  const out = Buffer.alloc(recordBytes);
  out[4] = kinds.indexOf(record.kind);
  if ("store" in record) out[5] = record.store;
  if ("seq" in record) out.writeUIntLE(record.seq, 8, 6);
  if ("count" in record) out.writeUIntLE(record.count, 20, 6);
  if ("ref" in record) out.set(refToBytes(record.ref), 32);
  if (record.kind === "queued") {
    out.writeUIntLE(Math.max(0, Math.floor(record.wallMs)), 14, 6);
    out.writeUIntLE(record.bytes, 20, 6);
    out.writeUIntLE(record.stores, 26, 3);
    out.writeUIntLE(record.dropped, 29, 3);
  }
  out.writeUInt32LE(crc32(out.subarray(4)), 0);
  return out;
}

/** Undefined for anything that is no whole record. */
export function decodeRecord(bytes: Uint8Array): QueueRecord | undefined {
  if (bytes.length !== recordBytes) return undefined;
  const from = Buffer.from(bytes.buffer, bytes.byteOffset, recordBytes);
  if (from.readUInt32LE(0) !== crc32(from.subarray(4))) return undefined;
  const store = from.readUInt8(5);
  const seq = from.readUIntLE(8, 6);
  const count = from.readUIntLE(20, 6);
  const kind = kinds[from.readUInt8(4)];
  switch (kind) {
    case "queued":
      return {
        kind,
        seq,
        ref: refFromBytes(from.subarray(32)),
        bytes: count,
        wallMs: from.readUIntLE(14, 6),
        stores: from.readUIntLE(26, 3),
        dropped: from.readUIntLE(29, 3),
      };
    case "done":
      return { kind, store, seq, count };
    case "lost":
      return { kind, store, seq, count };
    case "forgotten":
      return { kind, ref: refFromBytes(from.subarray(32)) };
    case "synced":
      return { kind, store, count };
    default:
      return undefined;
  }
}

export interface TableRow {
  readonly name: string;
  readonly dropped: number;
  readonly synced: number;
}

export interface QueueHeader {
  /** No entry has had this number or a greater one. */
  readonly nextSeq: number;
  /** The stores, by the number that records call them. */
  readonly table: readonly TableRow[];
}

/** 0 CRC-32 of the next 60, 4 magic, 12 next seq, 18 length and 22 CRC-32 of the table: JSON that follows, filled up with spaces to whole records. */
export function encodeHeader(header: QueueHeader): Buffer {
  const json = JSON.stringify(header.table);
  const length = Math.ceil(Buffer.byteLength(json) / recordBytes) * recordBytes;
  const out = Buffer.alloc(recordBytes + length, " ");
  out.fill(0, 0, recordBytes);
  out.write(json, recordBytes);
  out.write(magic, 4, "latin1");
  out.writeUIntLE(header.nextSeq, 12, 6);
  out.writeUInt32LE(length, 18);
  out.writeUInt32LE(crc32(out.subarray(recordBytes)), 22);
  out.writeUInt32LE(crc32(out.subarray(4, recordBytes)), 0);
  return out;
}

/** @throws BlobError "bad-data": the header was synced before the file got its name, and is whole or was damaged later */
export function decodeHeader(
  file: Uint8Array,
  name: string,
): { readonly header: QueueHeader; readonly end: number } {
  const from = Buffer.from(file.buffer, file.byteOffset, file.length);
  const bad = (what: string) => new BlobError("bad-data", `${name} is no queue file: ${what}`);
  if (from.length < recordBytes) throw bad(`it has ${from.length} bytes`);
  if (from.toString("latin1", 4, 12) !== magic) throw bad("it begins with something else");
  if (from.readUInt32LE(0) !== crc32(from.subarray(4, recordBytes))) throw bad("its header is damaged");
  const end = recordBytes + from.readUInt32LE(18);
  const json = from.subarray(recordBytes, end);
  if (from.length < end || from.readUInt32LE(22) !== crc32(json)) throw bad("its table of stores is damaged");
  const table = JSON.parse(json.toString()) as readonly TableRow[]; // its CRC is right: we wrote it
  return { header: { nextSeq: from.readUIntLE(12, 6), table }, end };
}
