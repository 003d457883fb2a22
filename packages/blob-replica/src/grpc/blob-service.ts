/** `x.blobs.v1.BlobService`: batches, and blobs of any size. */
import { deleteBlob, getMany, has, listRefPages, streamBlob } from "../capabilities.js";
import type { BlobServiceServer, GetManyResponse, GetManyResponse_Blob } from "../gen/x/blobs/v1/blobs.js";
import { refBytes, refFromBytes } from "../ref.js";
import type { BlobStore, GetManyResult } from "../store.js";
import type { Serving } from "./bs-service.js";
import { digestsOf } from "./digests-service.js";
import { takeBlobs } from "./put-many-service.js";
import { requestsOf, streaming, unary } from "./server-calls.js";
import {
  afterFromWire,
  asBuffer,
  blobsPerMessage,
  bytesPerMessage,
  piecesOf,
  refsFromWire,
  refsPerPage,
  refToWire,
} from "./wire.js";

export function blobHandlers(serving: Serving): BlobServiceServer {
  const { store, fail } = serving;
  return {
    read: streaming(fail, async function* (call, signal) {
      for await (const piece of streamBlob(store, refFromBytes(call.request.ref), { signal })) {
        for (let at = 0; at < piece.length; at += bytesPerMessage) {
          yield { data: asBuffer(piece.subarray(at, at + bytesPerMessage)) };
        }
      }
    }),
    getMany: streaming(fail, (call, signal) => manyBlobs(serving, call.request.refs, signal)),
    putMany: streaming(fail, (call, signal) => takeBlobs(serving, requestsOf(call), signal)),
    has: unary(fail, async ({ ref }, signal) => ({ has: await has(store, refFromBytes(ref), { signal }) })),
    delete: unary(fail, async ({ ref }, signal) => {
      return { deleted: await deleteBlob(store, refFromBytes(ref), { signal }) };
    }),
    list: streaming(fail, (call, signal) => pages(store, call.request, signal)),
    prefixDigests: streaming(fail, (call, signal) => digestsOf(store, call.request.prefixes, signal)),
  };
}

async function* pages(
  store: BlobStore,
  { after, limit }: { readonly after: Buffer; readonly limit: number },
  signal: AbortSignal,
): AsyncGenerator<{ refs: Buffer }, void, undefined> {
  const longest = refsPerPage * refBytes;
  const options = { signal, ...(limit > 0 && { limit }) };
  let left = limit > 0 ? limit * refBytes : Number.POSITIVE_INFINITY;
  for await (const page of listRefPages(store, afterFromWire(after), options)) {
    const wanted = page.subarray(0, Math.min(page.length, left));
    for (let at = 0; at < wanted.length; at += longest) {
      yield { refs: asBuffer(wanted.subarray(at, at + longest)) };
    }
    left -= wanted.length;
    if (left <= 0) return;
  }
}

/** Small blobs travel together, large ones in pieces. */
async function* manyBlobs(
  { store, failOne }: Serving,
  refs: Buffer,
  signal: AbortSignal,
): AsyncGenerator<GetManyResponse, void, undefined> {
  let blobs: GetManyResponse_Blob[] = [];
  let bytes = 0;
  for await (const result of getMany(store, refsFromWire(refs), { frozen: true, signal })) {
    for (const blob of toWire(result, failOne)) {
      if (
        blobs.length > 0 &&
        (bytes + blob.data.length > bytesPerMessage || blobs.length === blobsPerMessage)
      ) {
        yield { blobs };
        blobs = [];
        bytes = 0;
      }
      blobs.push(blob);
      bytes += blob.data.length;
    }
  }
  if (blobs.length > 0) yield { blobs };
}

function* toWire(result: GetManyResult, failOne: Serving["failOne"]): Generator<GetManyResponse_Blob> {
  const ref = refToWire(result.ref);
  if (result.blob) {
    for (const { data, more } of piecesOf(result.blob)) yield { ref, data, more, failure: undefined };
  } else {
    yield { ref, data: Buffer.alloc(0), more: false, failure: failOne(result.error) };
  }
}
