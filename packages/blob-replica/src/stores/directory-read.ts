import { createHash } from "node:crypto";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import { systemCode } from "./file-errors.js";
import type { ReadableFile, StoreFiles } from "./files.js";

const bytesPerPiece = 256 * 1024;

/** A blob's file, or BlobError "not-found". */
export async function openBlob(files: StoreFiles, path: string, ref: Ref): Promise<ReadableFile> {
  try {
    return await files.openForReading(path);
  } catch (error) {
    throw systemCode(error) === "ENOENT" ? notFound(ref) : error;
  }
}

export function notFound(ref: Ref): BlobError {
  return new BlobError("not-found", `there is no blob ${ref}`);
}

export function corrupt(ref: Ref, path: string): BlobError {
  return new BlobError(
    "corrupt",
    `the content of ${path} is not that of ${ref}: it is damaged, or part of it`,
  );
}

/** The whole file, verified. The next piece is read while one is hashed. */
export async function readVerified(
  file: ReadableFile,
  ref: Ref,
  options: { readonly path: string; readonly signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const { path, signal } = options;
  const blob = uninitialized(file.bytes);
  const hash = createHash("sha256");
  const fill = (from: number) => fillFrom(file, blob.subarray(from, from + bytesPerPiece), from);
  let reading = fill(0);
  for (let at = 0; ; ) {
    const length = await reading;
    if (length < Math.min(bytesPerPiece, blob.length - at)) throw corrupt(ref, path); // cut off meanwhile
    const piece = blob.subarray(at, at + length);
    at += length;
    signal?.throwIfAborted();
    const last = at === blob.length;
    if (!last) reading = fill(at);
    hash.update(piece);
    if (last) break;
  }
  if (hash.digest("hex") !== ref) throw corrupt(ref, path);
  return blob;
}

/** The file in pieces. The last one is held back until all are known to be right. */
export async function* streamVerified(
  file: ReadableFile,
  ref: Ref,
  options: { readonly path: string; readonly signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { path, signal } = options;
  const hash = createHash("sha256");
  let held: Uint8Array | undefined;
  for (let at = 0; ; ) {
    const piece = uninitialized(bytesPerPiece);
    const length = await fillFrom(file, piece, at);
    signal?.throwIfAborted();
    hash.update(piece.subarray(0, length));
    if (length === 0) break;
    if (held) yield held;
    signal?.throwIfAborted();
    held = piece.subarray(0, length);
    at += length;
  }
  if (hash.digest("hex") !== ref) throw corrupt(ref, path);
  if (held) yield held;
}

/** Whether the file has exactly these bytes. */
export async function hasContent(
  file: ReadableFile,
  blob: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (file.bytes !== blob.length) return false;
  const piece = uninitialized(Math.min(bytesPerPiece, blob.length));
  for (let at = 0; at < blob.length; ) {
    signal?.throwIfAborted();
    const length = await fillFrom(file, piece.subarray(0, blob.length - at), at);
    if (length === 0) return false;
    if (Buffer.compare(piece.subarray(0, length), blob.subarray(at, at + length)) !== 0) return false;
    at += length;
  }
  return true;
}

/** Fewer bytes only at the end of the file. */
async function fillFrom(file: ReadableFile, into: Uint8Array, position: number): Promise<number> {
  let length = 0;
  while (length < into.length) {
    const read = await file.read(into.subarray(length), position + length);
    if (read === 0) break;
    length += read;
  }
  return length;
}

/** Memory that is not zeroed, since it is filled at once, and is no part of Node's shared pool. */
export function uninitialized(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
