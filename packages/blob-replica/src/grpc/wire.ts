import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes } from "../ref.js";

/** Of one message: small enough for every limit, large enough that a message's own cost does not count. */
export const bytesPerMessage: number = 512 * 1024;
export const blobsPerMessage = 1024;
export const refsPerPage = 4096;
/** A listing for each is what a server without digests of its own has to do. */
export const prefixesPerRequest = 4096;
/** As many as fit into a message of gRPC's usual limit: also where the server takes larger ones, for blobs. */
const mostRefsOfRequest = 131_072;

/** The same bytes: the generated code wants Buffers. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The same bytes: a caller gets no Buffer, whose `slice` is a view. */
export function asBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** @throws BlobError "bad-data" */
export function refOfServer(bytes: Uint8Array): Ref {
  if (bytes.length !== refBytes) {
    throw new BlobError("bad-data", `the server sent a ref of ${bytes.length} bytes: refs have ${refBytes}`);
  }
  return refFromBytes(bytes);
}

export function refToWire(ref: Ref): Buffer {
  return Buffer.from(ref, "hex");
}

/** Where a listing begins: nothing, and what bobg/bs sends for it, 32 zero bytes. @throws BlobError "invalid-ref" */
export function afterFromWire(bytes: Uint8Array): Ref | undefined {
  return bytes.length === 0 ? undefined : refFromBytes(bytes);
}

/** Refs, one behind the other. @throws BlobError "invalid-ref", "invalid-argument" for too many */
export function refsFromWire(bytes: Uint8Array): Ref[] {
  if (bytes.length > mostRefsOfRequest * refBytes) {
    const asked = `${bytes.length / refBytes} refs were asked for at once`;
    throw new BlobError("invalid-argument", `${asked}: at most ${mostRefsOfRequest} are allowed`);
  }
  if (bytes.length % refBytes !== 0) {
    throw new BlobError(
      "invalid-ref",
      `refs are ${refBytes} bytes each, and ${bytes.length} bytes are no whole ones`,
    );
  }
  const refs: Ref[] = [];
  for (let at = 0; at < bytes.length; at += refBytes) {
    refs.push(refFromBytes(bytes.subarray(at, at + refBytes)));
  }
  return refs;
}

/** The first piece, also of nothing, and the others. */
export function* piecesOf(blob: Uint8Array): Generator<{ readonly data: Buffer; readonly more: boolean }> {
  let at = 0;
  do {
    const data = asBuffer(blob.subarray(at, at + bytesPerMessage));
    at += bytesPerMessage;
    yield { data, more: at < blob.length };
  } while (at < blob.length);
}
