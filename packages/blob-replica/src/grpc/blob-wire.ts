import { Metadata } from "@grpc/grpc-js";
import { BlobError } from "../errors.js";
import type { BlobServiceClient, PutManyRequest, PutManyRequest_Blob } from "../gen/x/blobs/v1/blobs.js";
import { areDigests } from "../maintenance/prefix-digests.js";
import type { Ref } from "../ref.js";
import type { GetManyResult, PrefixDigest, PutManyResult } from "../store.js";
import type { ClientCalls } from "./client-calls.js";
import { fromFailure } from "./status.js";
import {
  asBytes,
  blobsPerMessage,
  bytesPerMessage,
  piecesOf,
  prefixesPerRequest,
  refOfServer,
  refToWire,
} from "./wire.js";

type Signal = AbortSignal | undefined;

/** A request of so many refs is half a megabyte. */
const refsPerRequest = 16_384;
/** Of a listing with a limit: 32 bits on the wire. */
const mostRefs = 2 ** 32 - 1;

/** `x.blobs.v1.BlobService`, which our servers have. */
export class BlobWire {
  readonly #client: BlobServiceClient;
  readonly #calls: ClientCalls;
  readonly #maxBlobBytes: number;

  constructor(client: BlobServiceClient, calls: ClientCalls, maxBlobBytes: number) {
    this.#client = client;
    this.#calls = calls;
    this.#maxBlobBytes = maxBlobBytes;
  }

  /** As one. @throws BlobError "refused" when it is too large */
  async get(ref: Ref, signal: Signal): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of this.read(ref, signal)) {
      bytes += piece.length;
      this.#checkSize(ref, bytes);
      pieces.push(piece);
    }
    return joined(pieces, bytes);
  }

  #checkSize(ref: Ref, bytes: number): void {
    if (bytes <= this.#maxBlobBytes) return;
    const limit = `more than the ${this.#maxBlobBytes} bytes that this store takes`;
    throw new BlobError("refused", `the server gives ${limit} for ${ref}: see maxBlobBytes`);
  }

  async *read(ref: Ref, signal: Signal): AsyncGenerator<Uint8Array, void, undefined> {
    const request = { ref: refToWire(ref) };
    for await (const { data } of this.#calls.stream(signal, () => this.#client.read(request))) {
      if (data.length > 0) yield asBytes(data);
    }
  }

  async *pages(
    after: Ref | undefined,
    limit: number | undefined,
    signal: Signal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const request = {
      after: after === undefined ? Buffer.alloc(0) : refToWire(after),
      limit: limit === undefined ? 0 : Math.max(1, Math.min(limit, mostRefs)),
    };
    for await (const { refs } of this.#calls.stream(signal, () => this.#client.list(request))) {
      if (refs.length > 0) yield asBytes(refs);
    }
  }

  async *getMany(refs: readonly Ref[], signal: Signal): AsyncGenerator<GetManyResult, void, undefined> {
    for (let at = 0; at < refs.length; at += refsPerRequest) {
      yield* this.#getBatch(refs.slice(at, at + refsPerRequest), signal);
    }
  }

  async *#getBatch(refs: readonly Ref[], signal: Signal): AsyncGenerator<GetManyResult, void, undefined> {
    const request = { refs: Buffer.concat(refs.map(refToWire)) };
    let pieces: Buffer[] = [];
    let bytes = 0;
    for await (const { blobs } of this.#calls.stream(signal, () => this.#client.getMany(request))) {
      for (const blob of blobs) {
        signal?.throwIfAborted();
        const ref = refOfServer(blob.ref);
        if (blob.failure) {
          pieces = [];
          bytes = 0;
          yield { ref, error: fromFailure(blob.failure.code, blob.failure.message) };
          continue;
        }
        bytes += blob.data.length;
        this.#checkSize(ref, bytes);
        pieces.push(blob.data);
        if (blob.more) continue;
        yield { ref, blob: joined(pieces, bytes) };
        pieces = [];
        bytes = 0;
      }
    }
  }

  /** As far as they came, in order. What fails the call as a whole comes after them. */
  async *putMany(
    blobs: readonly Uint8Array[],
    refs: readonly Ref[],
    signal: Signal,
  ): AsyncGenerator<PutManyResult, void, undefined> {
    let at = 0;
    const start = () => this.#client.putMany();
    for await (const { results } of this.#calls.stream(signal, start, requestsFor(blobs, refs))) {
      for (const { ref: told, added, failure } of results) {
        const ref = refs[at++];
        if (ref === undefined || refOfServer(told) !== ref) {
          throw new BlobError("unavailable", "the server answered a put of many out of order");
        }
        yield failure ? { ref, error: fromFailure(failure.code, failure.message) } : { ref, added };
      }
    }
  }

  async prefixDigests(prefixes: readonly string[], signal: Signal): Promise<PrefixDigest[]> {
    const all: PrefixDigest[] = [];
    for (let at = 0; at < prefixes.length; at += prefixesPerRequest) {
      const request = { prefixes: prefixes.slice(at, at + prefixesPerRequest) };
      const start = () => this.#client.prefixDigests(request);
      for await (const { digests } of this.#calls.stream(signal, start)) {
        for (const { count, digest } of digests) all.push({ count: Number(count), digest: asBytes(digest) });
        if (all.length > at + request.prefixes.length) break; // who asked says what is wrong
      }
    }
    if (!areDigests(all, prefixes.length)) {
      throw new BlobError("bad-data", "the server gave no count and digest for each of the prefixes");
    }
    return all;
  }

  async has(ref: Ref, signal: Signal): Promise<boolean> {
    const { has } = await this.#calls.unary<{ has: boolean }>(signal, (options, done) =>
      this.#client.has({ ref: refToWire(ref) }, new Metadata(), options, done),
    );
    return has;
  }

  async delete(ref: Ref, signal: Signal): Promise<boolean> {
    const { deleted } = await this.#calls.unary<{ deleted: boolean }>(signal, (options, done) =>
      this.#client.delete({ ref: refToWire(ref) }, new Metadata(), options, done),
    );
    return deleted;
  }
}

/** Made while they are sent: no more than one message is in memory twice. */
function* requestsFor(blobs: readonly Uint8Array[], refs: readonly Ref[]): Generator<PutManyRequest> {
  let message: PutManyRequest_Blob[] = [];
  let bytes = 0;
  for (const [i, blob] of blobs.entries()) {
    const ref = refToWire(refs[i] as Ref); // as many
    for (const piece of piecesOf(blob)) {
      const full = bytes + piece.data.length > bytesPerMessage || message.length === blobsPerMessage;
      if (message.length > 0 && full) {
        yield { blobs: message };
        message = [];
        bytes = 0;
      }
      message.push({ ref, ...piece });
      bytes += piece.data.length;
    }
  }
  if (message.length > 0) yield { blobs: message };
}

function joined(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const [first] = pieces;
  if (pieces.length === 1 && first) return asBytes(first);
  const blob = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    blob.set(piece, at);
    at += piece.length;
  }
  return blob;
}
