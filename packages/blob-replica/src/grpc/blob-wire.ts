import { Metadata } from "@grpc/grpc-js";
import { Assembly } from "../assembly.js";
import { BlobError } from "../errors.js";
import type { BlobServiceClient, PutManyRequest, PutManyRequest_Blob } from "../gen/x/blobs/v1/blobs.js";
import { areDigests } from "../maintenance/prefix-digests.js";
import type { Ref } from "../ref.js";
import type { GetManyResult, PrefixDigest, PutManyResult } from "../store.js";
import type { ClientCalls } from "./client-calls.js";
import { Idle } from "./idle.js";
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
/** Signs of life of a server that reads a long listing for digests; ours sends one for 50,000 refs. */
const mostBeats = 1_000_000;

function idleServer(most?: number): Idle {
  return new Idle("bad-data", "the server", most);
}

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
    const pieces = new Assembly();
    for await (const piece of this.read(ref, signal)) {
      this.#checkSize(ref, pieces.bytes + piece.length);
      pieces.add(piece);
    }
    return pieces.take();
  }

  #checkSize(ref: Ref, bytes: number): void {
    if (bytes <= this.#maxBlobBytes) return;
    const limit = `more than the ${this.#maxBlobBytes} bytes that this store takes`;
    throw new BlobError("refused", `the server gives ${limit} for ${ref}: see maxBlobBytes`, {
      moreThanBytes: this.#maxBlobBytes,
    });
  }

  async *read(ref: Ref, signal: Signal): AsyncGenerator<Uint8Array, void, undefined> {
    const request = { ref: refToWire(ref) };
    const idle = idleServer();
    for await (const { data } of this.#calls.stream(signal, () => this.#client.read(request))) {
      idle.saw(data.length > 0);
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
    const idle = idleServer();
    for await (const { refs } of this.#calls.stream(signal, () => this.#client.list(request))) {
      idle.saw(refs.length > 0);
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
    const pieces = new Assembly();
    const idle = idleServer();
    let left = refs.length;
    for await (const { blobs } of this.#calls.stream(signal, () => this.#client.getMany(request))) {
      if (blobs.length === 0) idle.saw(false);
      for (const blob of blobs) {
        signal?.throwIfAborted();
        const ref = refOfServer(blob.ref);
        const ends = blob.failure !== undefined || !blob.more;
        idle.saw(blob.data.length > 0 || ends);
        if (ends && --left < 0) {
          throw new BlobError(
            "bad-data",
            `the server gave more than the ${refs.length} blobs that it was asked for`,
          );
        }
        if (blob.failure) {
          pieces.clear();
          yield { ref, error: fromFailure(blob.failure) };
          continue;
        }
        this.#checkSize(ref, pieces.bytes + blob.data.length);
        pieces.add(blob.data);
        if (ends) yield { ref, blob: pieces.take() };
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
    const idle = idleServer();
    for await (const { results } of this.#calls.stream(signal, start, requestsFor(blobs, refs))) {
      idle.saw(results.length > 0);
      for (const { ref: told, added, failure } of results) {
        const ref = refs[at++];
        if (ref === undefined || refOfServer(told) !== ref) {
          throw new BlobError("unavailable", "the server answered a put of many out of order");
        }
        yield failure ? { ref, error: fromFailure(failure) } : { ref, added };
      }
    }
  }

  async prefixDigests(prefixes: readonly string[], signal: Signal): Promise<PrefixDigest[]> {
    const all: PrefixDigest[] = [];
    for (let at = 0; at < prefixes.length; at += prefixesPerRequest) {
      const request = { prefixes: prefixes.slice(at, at + prefixesPerRequest) };
      const start = () => this.#client.prefixDigests(request);
      const idle = idleServer(mostBeats);
      for await (const { digests } of this.#calls.stream(signal, start)) {
        idle.saw(digests.length > 0);
        // One too many is told below.
        const room = at + request.prefixes.length + 1 - all.length;
        for (const { count, digest } of digests.slice(0, room)) {
          all.push({ count: Number(count), digest: asBytes(digest) });
        }
        if (digests.length >= room) break;
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
