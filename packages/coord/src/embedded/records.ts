import type { ByteReader, ByteWriter } from "./bytes.js";
import type { Mutation } from "./store.js";

/** What the write-ahead log holds: revisions, and up to where history was given up on purpose. */
export type LogRecord =
  | { readonly type: "revision"; readonly revision: bigint; readonly mutations: readonly Mutation[] }
  | { readonly type: "compact"; readonly revision: bigint };

const kinds = { revision: 1, compact: 2 } as const;
const mutations = { put: 1, delete: 2 } as const;

export function writeRecord(writer: ByteWriter, record: LogRecord): void {
  writer.u8(kinds[record.type]);
  writer.u64(record.revision);
  if (record.type === "revision") writeMutations(writer, record.mutations);
}

export function writeMutations(writer: ByteWriter, list: readonly Mutation[]): void {
  writer.u32(list.length);
  for (const mutation of list) {
    writer.u8(mutations[mutation.type]);
    writer.text(mutation.key);
    if (mutation.type === "delete") continue;
    writer.u64(mutation.lease);
    writer.bytes(mutation.value);
  }
}

/** @throws any error if the bytes are no record: whoever calls has checked their sum, so that is damage. */
export function readRecord(reader: ByteReader): LogRecord {
  const kind = reader.u8();
  const revision = reader.u64();
  if (kind === kinds.compact) return { type: "compact", revision };
  if (kind !== kinds.revision) throw new RangeError(`there is no record of kind ${kind}`);
  return { type: "revision", revision, mutations: readMutations(reader) };
}

export function readMutations(reader: ByteReader): Mutation[] {
  const list: Mutation[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const kind = reader.u8();
    const key = reader.text();
    if (kind === mutations.delete) {
      list.push({ type: "delete", key });
    } else if (kind === mutations.put) {
      const lease = reader.u64();
      list.push({ type: "put", key, value: reader.bytes(), lease });
    } else {
      throw new RangeError(`there is no mutation of kind ${kind}`);
    }
  }
  return list;
}
