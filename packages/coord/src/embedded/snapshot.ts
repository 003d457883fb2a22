import { crc32 } from "node:zlib";
import { CoordError } from "../errors.js";
import type { KeyValue } from "../port.js";
import { ByteReader, ByteWriter } from "./bytes.js";
import { readMutations, writeMutations } from "./records.js";
import { type HistoryLimits, mutationOf, Store } from "./store.js";

const magic = 0x53_57_43_78;
const version = 1;

/** Everything a store knows at a moment: the keys just before its oldest revision, and each revision from there on. */
export interface Snapshot {
  readonly clusterId: string;
  /** The name of the log file that goes on from here. */
  readonly wal: string;
  readonly store: Store;
}

/** magic, version, body, CRC-32 of all that is before it. */
export function encodeSnapshot({ clusterId, wal, store }: Snapshot): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(magic);
  writer.u32(version);
  writer.text(clusterId);
  writer.text(wal);
  writer.u64(store.compactRevision);
  const base = store.base();
  writer.u32(base.length);
  for (const kv of base) {
    writer.text(kv.key);
    writer.bytes(kv.value);
    writer.u64(kv.createRevision);
    writer.u64(kv.modRevision);
    writer.u64(kv.version);
    writer.u64(kv.lease);
  }
  writer.u32(Number(store.revision - store.compactRevision) + 1);
  for (let revision = store.compactRevision; revision <= store.revision; revision++) {
    writeMutations(writer, store.eventsOf(revision).map(mutationOf));
  }
  const body = writer.finish();
  const file = new Uint8Array(body.byteLength + 4);
  file.set(body);
  new DataView(file.buffer).setUint32(body.byteLength, crc32(body), true);
  return file;
}

/** @throws CoordError "corrupt": a snapshot is complete and synced before it gets its name, so there is no torn one. */
export function decodeSnapshot(file: Uint8Array, name: string, limits: HistoryLimits): Snapshot {
  const end = file.byteLength - 4;
  if (end < 8) throw new CoordError("corrupt", `${name} is too short to be a snapshot`);
  const body = file.subarray(0, end);
  if (crc32(body) !== new DataView(file.buffer, file.byteOffset + end, 4).getUint32(0, true)) {
    throw new CoordError("corrupt", `${name} is damaged: its checksum is wrong`);
  }
  try {
    return decodeBody(new ByteReader(body), limits);
  } catch (error) {
    throw new CoordError("corrupt", `${name} can't be read as a snapshot of format ${version}`, {
      cause: error,
    });
  }
}

function decodeBody(reader: ByteReader, limits: HistoryLimits): Snapshot {
  if (reader.u32() !== magic) throw new RangeError("the first bytes are not those of a snapshot");
  const found = reader.u32();
  if (found !== version) throw new RangeError(`it has format ${found}`);
  const clusterId = reader.text();
  const wal = reader.text();
  const compactRevision = reader.u64();
  const base: KeyValue[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    base.push({
      key: reader.text(),
      value: reader.bytes(),
      createRevision: reader.u64(),
      modRevision: reader.u64(),
      version: reader.u64(),
      lease: reader.u64(),
    });
  }
  const store = Store.restore(compactRevision, base, limits);
  for (let left = reader.u32(); left > 0; left--) store.replay(readMutations(reader));
  return { clusterId, wal, store };
}
