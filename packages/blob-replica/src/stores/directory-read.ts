import { createHash } from "node:crypto";
import { BlobError } from "../errors.js";
import { uninitialized } from "../own-bytes.js";
import { type Ref, refOf } from "../ref.js";
import type { ReadableFile } from "./files.js";

/** Small enough that hashing begins early, large enough that the change of threads does not count. */
const bytesPerPiece = 256 * 1024;

export function notFound(ref: Ref): BlobError {
  return new BlobError("not-found", `there is no blob ${ref}`);
}

export function corrupt(ref: Ref, path: string): BlobError {
  return new BlobError(
    "corrupt",
    `the content of ${path} is not that of ${ref}: it is damaged, or part of it`,
  );
}

/** The whole file, verified. The next piece is read while one is hashed; a file of one piece is hashed in one go. */
export async function readVerified(
  file: ReadableFile,
  ref: Ref,
  options: { readonly path: string; readonly signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const { path, signal } = options;
  const blob = roomFor(file.bytes, ref, path);
  if (blob.length <= bytesPerPiece) {
    const length = await fillFrom(file, blob, 0);
    signal?.throwIfAborted();
    if (length < blob.length || refOf(blob) !== ref) throw corrupt(ref, path); // cut off meanwhile, or damaged
    return blob;
  }
  const hash = createHash("sha256");
  let piece = blob.subarray(0, bytesPerPiece);
  let reading = fillFrom(file, piece, 0);
  for (let end = piece.length; ; ) {
    const length = await reading;
    if (length < piece.length) throw corrupt(ref, path); // cut off meanwhile
    signal?.throwIfAborted();
    const hashed = piece;
    const last = end === blob.length;
    if (!last) {
      piece = blob.subarray(end, end + bytesPerPiece);
      reading = fillFrom(file, piece, end);
      end += piece.length;
    }
    hash.update(hashed);
    if (last) break;
  }
  if (hash.digest("hex") !== ref) throw corrupt(ref, path);
  return blob;
}

/** @throws BlobError "refused" for more than there can be in memory */
function roomFor(bytes: number, ref: Ref, path: string): Uint8Array {
  try {
    return uninitialized(bytes);
  } catch (cause) {
    const message = `${path} has ${bytes} bytes, for which there is no room in memory: ${ref} can only be streamed`;
    throw new BlobError("refused", message, { cause, moreThanBytes: bytes - 1 });
  }
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
