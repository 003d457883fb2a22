import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes } from "../ref.js";

/**
 * A node of a blob tree, as a blob: the bytes 89 "bRt", version 1, level (1 to 10), count as a varint, then for each child its 32 bytes of ref and its size in bytes
 * of content as a varint. Children of level 1 are chunks of content, those of level n are nodes of level n - 1. Varints are LEB128, as short as possible, up to 2^53 - 1. No
 * child is of size 0; the empty content is a node of level 1 without children. So a content has as many bytes as its sizes say, and no tree is
 * deeper than 10 or has more chunks than bytes.
 */
export interface TreeNode {
  readonly level: number;
  readonly children: readonly TreeChild[];
  readonly size: number;
}

export interface TreeChild {
  readonly ref: Ref;
  /** Bytes of content below it. */
  readonly size: number;
}

const magic = [0x89, 0x62, 0x52, 0x74] as const;
const version = 1;
export const maxTreeLevel = 10;
/** Our nodes have at most 1024 children; others' may have more. */
export const maxNodeChildren = 65_536;
/** Larger ones are refused before they are fetched. */
export const maxTreeChunkBytes: number = 64 * 1024 * 1024;

export function encodeTreeNode(level: number, children: readonly TreeChild[]): Uint8Array {
  const bytes = Buffer.alloc(magic.length + 2 + 3 + children.length * (refBytes + 8));
  bytes.set([...magic, version, level]);
  let at = putVarint(bytes, magic.length + 2, children.length);
  for (const { ref, size } of children) {
    at += bytes.write(ref, at, "hex");
    at = putVarint(bytes, at, size);
  }
  return bytes.subarray(0, at);
}

/** Whether the bytes begin as a node of any version does. */
export function looksLikeTreeNode(bytes: Uint8Array): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

/** @throws BlobError "bad-data" */
export function decodeTreeNode(bytes: Uint8Array): TreeNode {
  if (!looksLikeTreeNode(bytes)) throw bad("it does not begin as one");
  if (bytes[4] !== version) throw bad(`its version is ${bytes[4]}, and ${version} is known`);
  const level = bytes[5] ?? 0;
  if (level < 1 || level > maxTreeLevel) throw bad(`its level is ${level}, not 1 to ${maxTreeLevel}`);
  const count = getVarint(bytes, 6);
  // Before anything is allocated for them.
  if (count.value > maxNodeChildren || count.value * (refBytes + 1) > bytes.length - count.end) {
    throw bad(`it has ${bytes.length} bytes for ${count.value} children`);
  }
  let { end: at } = count;
  let size = 0;
  const children: TreeChild[] = [];
  for (let i = 0; i < count.value; i++) {
    if (at + refBytes > bytes.length) throw bad("it is cut off");
    const ref = refFromBytes(bytes.subarray(at, at + refBytes));
    const length = getVarint(bytes, at + refBytes);
    at = length.end;
    if (length.value === 0) throw bad("it has a child of no bytes");
    if (level === 1 && length.value > maxTreeChunkBytes) {
      throw bad(`it has a chunk of ${length.value} bytes, more than ${maxTreeChunkBytes}`);
    }
    size += length.value;
    if (!Number.isSafeInteger(size)) throw bad("its content has more than 2^53 - 1 bytes");
    children.push({ ref, size: length.value });
  }
  if (at !== bytes.length) throw bad(`${bytes.length - at} bytes follow its last child`);
  if (level > 1 && children.length === 0) throw bad(`it has no children at level ${level}`);
  return { level, children, size };
}

export function bad(why: string, cause?: unknown): BlobError {
  return new BlobError("bad-data", `this is no node of a blob tree: ${why}`, { cause });
}

export function putVarint(bytes: Uint8Array, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

/** @throws BlobError "bad-data" */
export function getVarint(bytes: Uint8Array, from: number): { readonly value: number; readonly end: number } {
  let value = 0;
  let scale = 1;
  for (let at = from; at < from + 8; at++) {
    const byte = bytes[at];
    if (byte === undefined) throw bad("it is cut off");
    value += (byte & 0x7f) * scale;
    if (!Number.isSafeInteger(value)) break;
    if (byte < 0x80) {
      if (byte === 0 && at > from) throw bad("a number is longer than it needs to be");
      return { value, end: at + 1 };
    }
    scale *= 0x80;
  }
  throw bad("a number is more than 2^53 - 1");
}
