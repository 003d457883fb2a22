import { Metadata } from "@grpc/grpc-js";
import { BlobError } from "../errors.js";
import type { BlobServiceClient, PutManyRequest, PutManyRequest_Blob } from "../gen/x/blobs/v1/blobs.js";
import { type Ref, refFromBytes } from "../ref.js";
import type { GetManyResult, PutManyResult } from "../store.js";
import type { ClientCalls } from "./client-calls.js";
import { fromFailure } from "./status.js";
import { asBytes, blobsPerMessage, bytesPerMessage, piecesOf, refToWire } from "./wire.js";

type Signal = AbortSignal | undefined;

/** A request of so many refs is half a megabyte. */
const refsPerRequest = 16_384;

/** `x.blobs.v1.BlobService`, which our servers have. */
export class BlobWire {
  readonly #client: BlobServiceClient;
  readonly #calls: ClientCalls;

  constructor(client: BlobServiceClient, calls: ClientCalls) {
    this.#client = client;
    this.#calls = calls;
  }

  async *read(ref: Ref, signal: Signal): AsyncGenerator<Uint8Array, void, undefined> {
    const request = { ref: refToWire(ref) };
    for await (const { data } of this.#calls.stream(signal, () => this.#client.read(request))) {
      if (data.length > 0) yield asBytes(data);
    }
  }

  async *pages(after: Ref | undefined, signal: Signal): AsyncGenerator<Uint8Array, void, undefined> {
    const request = { after: after === undefined ? Buffer.alloc(0) : refToWire(after) };
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
    for await (const { blobs } of this.#calls.stream(signal, () => this.#client.getMany(request))) {
      for (const blob of blobs) {
        signal?.throwIfAborted();
        const ref = refFromBytes(blob.ref);
        if (blob.failure) {
          pieces = [];
          yield { ref, error: fromFailure(blob.failure.code, blob.failure.message) };
          continue;
        }
        pieces.push(blob.data);
        if (blob.more) continue;
        yield { ref, blob: asBytes(pieces.length === 1 ? blob.data : Buffer.concat(pieces)) };
        pieces = [];
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
        if (ref === undefined || refFromBytes(told) !== ref) {
          throw new BlobError("unavailable", "the server answered a put of many out of order");
        }
        yield failure ? { ref, error: fromFailure(failure.code, failure.message) } : { ref, added };
      }
    }
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
