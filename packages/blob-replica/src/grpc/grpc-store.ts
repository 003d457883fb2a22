import { createHash } from "node:crypto";
import { BlobError } from "../errors.js";
import { checkPrefix } from "../maintenance/prefix-digests.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import { refsOfPages } from "../refs-of-pages.js";
import type {
  CallOptions,
  GetManyResult,
  ListOptions,
  PrefixDigest,
  PutManyResult,
  PutOptions,
  PutResult,
} from "../store.js";
import { checkAfter, checkCount, type PutManyOptions, refForPut, refsForPut } from "../stores/arguments.js";
import { systemClock } from "../system.js";
import type { AnchorMap } from "./anchor-map.js";
import { BlobWire } from "./blob-wire.js";
import { getEach, hasByGet, piecesOf, putAs, putEach } from "./bs-calls.js";
import { BsWire } from "./bs-wire.js";
import { ClientCalls } from "./client-calls.js";
import { connect } from "./connection.js";
import { EitherWire } from "./either-wire.js";
import type { GrpcStore, GrpcStoreOptions } from "./grpc-store-options.js";
import { orderedPages } from "./ordered-pages.js";
import { lacksMethod } from "./status.js";
import { bytesPerMessage } from "./wire.js";

const longestTimer = 2 ** 31 - 1;

/**
 * The store behind a server: one with `addBlobService`, or one of bobg/bs v0.4.0. The latter has no calls for many, for pieces, for digests and for deletion: the first
 * call that it does not know tells, and from then on only `rpc.Store` is spoken. There, `has` reads the blob, `delete` and `prefixDigests` are "unsupported", and a blob
 * is one message, for which the server must have room. Nothing is retried.
 * @throws BlobError "invalid-argument"
 */
export function grpcStore(options: GrpcStoreOptions): GrpcStore {
  const calls = new ClientCalls(
    options.clock ?? systemClock,
    Math.min(longestTimer, checkCount("timeoutMs", options.timeoutMs ?? 60_000, 1)),
  );
  const { bs, blobs, close } = connect(options);
  return new RemoteStore({
    bs: new BsWire(bs, calls),
    blobs: new BlobWire(blobs, calls, checkCount("maxBlobBytes", options.maxBlobBytes ?? 1024 ** 3, 0)),
    calls,
    verify: options.verify ?? true,
    disconnect: close,
  });
}

interface Remote {
  readonly bs: BsWire;
  readonly blobs: BlobWire;
  readonly calls: ClientCalls;
  readonly verify: boolean;
  disconnect(): void;
}

class RemoteStore implements GrpcStore {
  readonly verified: boolean;
  readonly anchorMap: AnchorMap;
  readonly #remote: Remote;
  readonly #either = new EitherWire();

  constructor(remote: Remote) {
    this.#remote = remote;
    this.verified = remote.verify;
    this.anchorMap = remote.bs.anchorMap;
  }

  async get(ref: Ref, { signal }: CallOptions = {}): Promise<Uint8Array> {
    this.#begin(signal);
    parseRef(ref);
    const { blobs, bs } = this.#remote;
    const blob = await this.#either.one(
      () => blobs.get(ref, signal),
      () => bs.get(ref, signal),
    );
    if (this.verified && refOf(blob) !== ref) throw corrupt(ref);
    return blob;
  }

  async *stream(ref: Ref, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(signal);
    parseRef(ref);
    const { blobs, bs } = this.#remote;
    const hash = this.verified ? createHash("sha256") : undefined;
    let held: Uint8Array | undefined; // the last piece is given when all are known to be right
    for await (const piece of this.#either.stream(
      () => blobs.read(ref, signal),
      () => piecesOf(bs, ref, signal),
    )) {
      hash?.update(piece);
      if (held) yield held;
      held = piece;
    }
    if (hash && hash.digest("hex") !== ref) throw corrupt(ref);
    signal?.throwIfAborted();
    if (held) yield held;
  }

  async *getMany(
    refs: readonly Ref[],
    { signal }: CallOptions = {},
  ): AsyncGenerator<GetManyResult, void, undefined> {
    this.#begin(signal);
    const asked: Ref[] = [];
    for (const ref of [...refs]) {
      try {
        asked.push(parseRef(ref));
      } catch (error) {
        yield { ref, error };
        signal?.throwIfAborted();
      }
    }
    if (asked.length === 0) return;
    const { blobs, bs } = this.#remote;
    for await (const result of this.#either.stream(
      () => blobs.getMany(asked, signal),
      () => getEach(bs, asked, signal),
    )) {
      signal?.throwIfAborted();
      const { ref, blob } = result;
      const right = blob === undefined || !this.verified || refOf(blob) === ref;
      yield right ? result : { ref, error: corrupt(ref) };
    }
  }

  async put(blob: Uint8Array, { ref: given, signal }: PutOptions = {}): Promise<PutResult> {
    this.#begin(signal);
    const ref = refForPut(blob, given);
    const { blobs, bs } = this.#remote;
    if (blob.length <= bytesPerMessage) return await putAs(bs, ref, blob, signal);
    return await this.#either.one(
      async () => {
        for await (const { added, error } of blobs.putMany([blob], [ref], signal)) {
          if (added === undefined) throw error;
          return { ref, added };
        }
        throw new BlobError("unavailable", `the server gave no answer to the put of ${ref}`);
      },
      () => putAs(bs, ref, blob, signal),
    );
  }

  async putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    const { signal } = options;
    this.#begin(signal);
    const refs = refsForPut(blobs, options.refs);
    const mine = [...blobs];
    if (mine.length === 0) return [];
    return await this.#either.one(
      () => this.#putTogether(mine, refs, signal),
      () => putEach(this.#remote.bs, mine, refs, signal),
    );
  }

  async has(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
    this.#begin(signal);
    parseRef(ref);
    const { blobs, bs } = this.#remote;
    return await this.#either.one(
      () => blobs.has(ref, signal),
      () => hasByGet(bs, ref, signal),
    );
  }

  async delete(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
    this.#begin(signal);
    parseRef(ref);
    return await this.#either.one(
      () => this.#remote.blobs.delete(ref, signal),
      async () => {
        throw new BlobError(
          "unsupported",
          "the server speaks the wire of bobg/bs, which has no call to delete",
        );
      },
    );
  }

  listRefs(after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> {
    return refsOfPages(this.listRefPages(after, options), options.signal);
  }

  async *listRefPages(
    after?: Ref,
    { signal, limit }: ListOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(signal);
    checkAfter(after);
    const { blobs, bs } = this.#remote;
    const pages = this.#either.stream(
      () => blobs.pages(after, limit, signal),
      () => bs.pages(after, signal),
    );
    yield* orderedPages(pages, after, signal);
  }

  async prefixDigests(
    prefixes: readonly string[],
    { signal }: CallOptions = {},
  ): Promise<readonly PrefixDigest[]> {
    this.#begin(signal);
    const asked = prefixes.map(checkPrefix);
    if (asked.length === 0) return [];
    try {
      return await this.#remote.blobs.prefixDigests(asked, signal);
    } catch (error) {
      if (!lacksMethod(error)) throw error;
      throw new BlobError("unsupported", "the server has no digests of what it lists", { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remote.calls.close();
    this.#remote.disconnect();
  }

  #begin(signal: AbortSignal | undefined): void {
    this.#remote.calls.begin(signal);
  }

  /** What fails the call as a whole is the error of those that have no result yet. */
  async #putTogether(
    blobs: readonly Uint8Array[],
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PutManyResult[]> {
    const results: PutManyResult[] = [];
    let failure: unknown = new BlobError("unavailable", "the server ended a put of many before its end");
    try {
      for await (const result of this.#remote.blobs.putMany(blobs, refs, signal)) results.push(result);
    } catch (error) {
      signal?.throwIfAborted();
      if (results.length === 0 && lacksMethod(error)) throw error;
      failure = error;
    }
    return refs.map((ref, i) => results[i] ?? { ref, error: failure });
  }
}

function corrupt(ref: Ref): BlobError {
  return new BlobError("corrupt", `the server gave another content for ${ref}`);
}
