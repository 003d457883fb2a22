import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes } from "../ref.js";
import { getVarint, putVarint } from "./tree-node.js";

/** A name and a time; by the bytes of the name in UTF-8, then by time. */
export interface AnchorKey {
  readonly name: Buffer;
  readonly atMs: number;
}

/** Of a leaf: what the name points to from then on. Of an inner node: a child, and the last key below it. */
export interface AnchorEntry extends AnchorKey {
  readonly ref: Ref;
}

/**
 * A node of an anchor map, as a blob: the bytes 89 "bAm", version 1, level (0: a leaf), count as a varint, then for each entry the length of its name as a varint, its
 * name, its time as a varint and 32 bytes of ref. Entries are in the order of their keys, each key once.
 */
export interface AnchorNode {
  readonly level: number;
  readonly entries: readonly AnchorEntry[];
}

const magic = [0x89, 0x62, 0x41, 0x6d] as const;
const version = 1;
export const maxAnchorLevel = 16;
export const maxNameBytes = 1024;
/** Of other writers, too. */
const maxEntries = 4096;

export function compareKeys(a: AnchorKey, b: AnchorKey): number {
  return Buffer.compare(a.name, b.name) || a.atMs - b.atMs;
}

/** @throws BlobError "invalid-argument" */
export function nameBytes(name: string): Buffer {
  const bytes = typeof name === "string" ? Buffer.from(name) : Buffer.alloc(0);
  if (bytes.length === 0 || bytes.length > maxNameBytes || !name.isWellFormed()) {
    throw new BlobError(
      "invalid-argument",
      `an anchor's name is well-formed text of 1 to ${maxNameBytes} bytes in UTF-8`,
    );
  }
  return bytes;
}

/** @throws BlobError "invalid-argument" */
export function checkTime(atMs: number): number {
  if (!Number.isSafeInteger(atMs) || atMs < 0) {
    throw new BlobError(
      "invalid-argument",
      `atMs is a whole number of milliseconds since the epoch, not ${atMs}`,
    );
  }
  return atMs;
}

export function encodeAnchorNode({ level, entries }: AnchorNode): Uint8Array {
  const length = entries.reduce(
    (sum, { name }) => sum + 2 + name.length + 8 + refBytes,
    magic.length + 2 + 3,
  );
  const bytes = Buffer.alloc(length);
  bytes.set([...magic, version, level]);
  let at = putVarint(bytes, magic.length + 2, entries.length);
  for (const { name, atMs, ref } of entries) {
    at = putVarint(bytes, at, name.length);
    bytes.set(name, at);
    at = putVarint(bytes, at + name.length, atMs);
    at += bytes.write(ref, at, "hex");
  }
  return bytes.subarray(0, at);
}

export function looksLikeAnchorNode(bytes: Uint8Array): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

/** @throws BlobError "bad-data" */
export function decodeAnchorNode(bytes: Uint8Array): AnchorNode {
  if (!looksLikeAnchorNode(bytes)) throw badMap("it does not begin as one");
  if (bytes[4] !== version) throw badMap(`its version is ${bytes[4]}, and ${version} is known`);
  const level = bytes[5] ?? maxAnchorLevel + 1;
  if (level > maxAnchorLevel) throw badMap(`its level is ${level}, more than ${maxAnchorLevel}`);
  const count = getVarint(bytes, 6);
  if (count.value > maxEntries) throw badMap(`it has ${count.value} entries, more than ${maxEntries}`);
  if (level > 0 && count.value === 0) throw badMap(`it has no entries at level ${level}`);
  let { end: at } = count;
  const entries: AnchorEntry[] = [];
  for (let i = 0; i < count.value; i++) {
    const length = getVarint(bytes, at);
    if (length.value === 0 || length.value > maxNameBytes)
      throw badMap(`it has a name of ${length.value} bytes`);
    const name = Buffer.from(bytes.subarray(length.end, length.end + length.value));
    const time = getVarint(bytes, length.end + length.value);
    at = time.end + refBytes;
    if (at > bytes.length) throw badMap("it is cut off");
    if (Buffer.compare(Buffer.from(name.toString()), name) !== 0) throw badMap("a name is not UTF-8");
    const entry = { name, atMs: time.value, ref: refFromBytes(bytes.subarray(time.end, at)) };
    const before = entries.at(-1);
    if (before && compareKeys(before, entry) >= 0) throw badMap("its entries are not in order");
    entries.push(entry);
  }
  if (at !== bytes.length) throw badMap(`${bytes.length - at} bytes follow its last entry`);
  return { level, entries };
}

export function badMap(why: string): BlobError {
  return new BlobError("bad-data", `this is no node of an anchor map: ${why}`);
}
