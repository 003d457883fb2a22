import { createHash } from "node:crypto";
import { type ChannelOptions, Client, credentials } from "@grpc/grpc-js";
import { pieces, refsOfPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { StoreClient } from "../gen/rpc/store.js";
import { BlobServiceClient } from "../gen/x/blobs/v1/blobs.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import type { CallOptions, GetManyResult, PutManyResult, PutOptions, PutResult } from "../store.js";
import { checkAfter, checkCount, type PutManyOptions, refForPut, refsForPut } from "../stores/arguments.js";
import { pool } from "../stores/pool.js";
import { systemClock } from "../system.js";
import type { AnchorMap } from "./anchor-map.js";
import { BlobWire } from "./blob-wire.js";
import { BsWire } from "./bs-wire.js";
import { ClientCalls } from "./client-calls.js";
import type { GrpcStore, GrpcStoreOptions } from "./grpc-store-options.js";
import { orderedPages } from "./ordered-pages.js";
import { lacksMethod } from "./status.js";
import { bytesPerMessage } from "./wire.js";

/** Calls in flight for many blobs, to a server that has no call for many. */
const callsAtOnce = 16;
const largestMessage = 65 * 1024 * 1024;
const longestTimer = 2 ** 31 - 1;

const channelDefaults: ChannelOptions = {
  // The default window of 64 KiB limits a stream to a fraction of what loopback can carry.
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
  // A server that is stopped or cut off sends nothing: only a ping finds out.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

/**
 * The store behind a server: one with `addBlobService`, or one of bobg/bs v0.4.0. The latter has no calls for many, for pieces and for deletion: the first call that it
 * does not know tells, and from then on only `rpc.Store` is spoken. There, `has` reads the blob, `delete` is "unsupported", and a blob is one message, for which the
 * server must have room. Nothing is retried.
 * @throws BlobError "invalid-argument"
 */
export function grpcStore(options: GrpcStoreOptions): GrpcStore {
  const calls = new ClientCalls(
    options.clock ?? systemClock,
    Math.min(longestTimer, checkCount("timeoutMs", options.timeoutMs ?? 60_000, 1)),
  );
  const { client, own } = connection(options);
  return new RemoteStore({
    // Two services on one connection; the addresses and credentials are the connection's.
    bs: new BsWire(new StoreClient("", credentials.createInsecure(), sharing(client)), calls),
    blobs: new BlobWire(new BlobServiceClient("", credentials.createInsecure(), sharing(client)), calls),
    calls,
    verify: options.verify ?? true,
    disconnect: () => {
      if (own) client.close();
    },
  });
}

function connection(options: GrpcStoreOptions): { client: Client; own: boolean } {
  if (options.client !== undefined) {
    if (typeof options.client.getChannel !== "function") {
      throw new BlobError("invalid-argument", "client is a client of @grpc/grpc-js, which has a channel");
    }
    return { client: options.client, own: false };
  }
  if (typeof options.endpoint !== "string" || options.endpoint === "") {
    throw new BlobError("invalid-argument", "a gRPC store needs an endpoint, HOST:PORT, or a client");
  }
  const maxMessageBytes = checkCount("maxMessageBytes", options.maxMessageBytes ?? largestMessage, 1);
  const client = new Client(options.endpoint, options.credentials ?? credentials.createInsecure(), {
    ...channelDefaults,
    "grpc.max_receive_message_length": Math.max(maxMessageBytes, 2 * bytesPerMessage),
    ...options.channelOptions,
  });
  return { client, own: true };
}

function sharing(client: Client): { channelOverride: ReturnType<Client["getChannel"]> } {
  return { channelOverride: client.getChannel() };
}

interface Remote {
  readonly bs: BsWire;
  readonly blobs: BlobWire;
  readonly calls: ClientCalls;
  readonly verify: boolean;
  disconnect(): void;
}

class RemoteStore implements GrpcStore {
  readonly anchorMap: AnchorMap;
  readonly #remote: Remote;
  /** The server speaks `rpc.Store` alone. */
  #onlyBs = false;

  constructor(remote: Remote) {
    this.#remote = remote;
    this.anchorMap = remote.bs.anchorMap;
  }

  async get(ref: Ref, { signal }: CallOptions = {}): Promise<Uint8Array> {
    this.#begin(signal);
    parseRef(ref);
    const { blobs, bs } = this.#remote;
    const blob = await this.#either(
      () => joined(blobs.read(ref, signal)),
      () => bs.get(ref, signal),
    );
    return this.#verified(ref, blob);
  }

  async *stream(ref: Ref, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(signal);
    parseRef(ref);
    const hash = this.#remote.verify ? createHash("sha256") : undefined;
    let held: Uint8Array | undefined; // the last piece is given when all are known to be right
    for await (const piece of this.#eitherStream(
      () => this.#remote.blobs.read(ref, signal),
      () => this.#piecesOf(ref, signal),
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
    const results = this.#eitherStream(
      () => blobs.getMany(asked, signal),
      () => pool(asked, (ref, _index, child) => getOne(bs, ref, child), { limit: callsAtOnce, signal }),
    );
    for await (const result of results) {
      signal?.throwIfAborted();
      yield this.#verifiedResult(result);
    }
  }

  async put(blob: Uint8Array, { ref: given, signal }: PutOptions = {}): Promise<PutResult> {
    this.#begin(signal);
    const ref = refForPut(blob, given);
    const { blobs, bs } = this.#remote;
    const plain = async (): Promise<PutResult> => sameRef(ref, await bs.put(blob, signal));
    if (blob.length <= bytesPerMessage) return await plain();
    return await this.#either(async () => {
      for await (const { added, error } of blobs.putMany([blob], [ref], signal)) {
        if (added === undefined) throw error;
        return { ref, added };
      }
      throw new BlobError("unavailable", `the server gave no answer to the put of ${ref}`);
    }, plain);
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
    return await this.#either(
      () => this.#putTogether(mine, refs, signal),
      () => this.#putEach(mine, refs, signal),
    );
  }

  async has(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
    this.#begin(signal);
    parseRef(ref);
    return await this.#either(
      () => this.#remote.blobs.has(ref, signal),
      async () => {
        const { error } = await getOne(this.#remote.bs, ref, signal);
        if (error === undefined) return true;
        if (error instanceof BlobError && error.code === "not-found") return false;
        throw error;
      },
    );
  }

  async delete(ref: Ref, { signal }: CallOptions = {}): Promise<boolean> {
    this.#begin(signal);
    parseRef(ref);
    return await this.#either(
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
    { signal }: CallOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(signal);
    checkAfter(after);
    const { blobs, bs } = this.#remote;
    const pages = this.#eitherStream(
      () => blobs.pages(after, signal),
      () => bs.pages(after, signal),
    );
    yield* orderedPages(pages, after, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remote.calls.close();
    this.#remote.disconnect();
  }

  #begin(signal: AbortSignal | undefined): void {
    this.#remote.calls.begin(signal);
  }

  /** Our service, or where the server lacks it the other. */
  async #either<Result>(ours: () => Promise<Result>, plain: () => Promise<Result>): Promise<Result> {
    if (this.#onlyBs) return await plain();
    try {
      return await ours();
    } catch (error) {
      if (!lacksMethod(error)) throw error;
      this.#onlyBs = true;
      return await plain();
    }
  }

  async *#eitherStream<Item>(
    ours: () => AsyncIterable<Item>,
    plain: () => AsyncIterable<Item>,
  ): AsyncGenerator<Item, void, undefined> {
    if (!this.#onlyBs) {
      try {
        yield* ours();
        return;
      } catch (error) {
        if (!lacksMethod(error)) throw error; // who lacks it says so before anything else
        this.#onlyBs = true;
      }
    }
    yield* plain();
  }

  async *#piecesOf(ref: Ref, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    yield* pieces(await this.#remote.bs.get(ref, signal), signal);
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

  async #putEach(
    blobs: readonly Uint8Array[],
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PutManyResult[]> {
    const results = new Array<PutManyResult>(blobs.length);
    const task = async (ref: Ref, i: number, child: AbortSignal): Promise<void> => {
      try {
        results[i] = sameRef(ref, await this.#remote.bs.put(blobs[i] as Uint8Array, child)); // as many as refs
      } catch (error) {
        results[i] = { ref, error };
      }
    };
    for await (const _ of pool(refs, task, { limit: callsAtOnce, signal }));
    signal?.throwIfAborted();
    return results;
  }

  #verified(ref: Ref, blob: Uint8Array): Uint8Array {
    if (this.#remote.verify && refOf(blob) !== ref) throw corrupt(ref);
    return blob;
  }

  #verifiedResult(result: GetManyResult): GetManyResult {
    if (!result.blob || !this.#remote.verify || refOf(result.blob) === result.ref) return result;
    return { ref: result.ref, error: corrupt(result.ref) };
  }
}

async function getOne(bs: BsWire, ref: Ref, signal: AbortSignal | undefined): Promise<GetManyResult> {
  try {
    return { ref, blob: await bs.get(ref, signal) };
  } catch (error) {
    signal?.throwIfAborted();
    return { ref, error };
  }
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    all.push(piece);
    length += piece.length;
  }
  if (all.length === 1) return all[0] as Uint8Array; // the only one
  const blob = new Uint8Array(length);
  let at = 0;
  for (const piece of all) {
    blob.set(piece, at);
    at += piece.length;
  }
  return blob;
}

function sameRef(ref: Ref, result: PutResult): PutResult {
  if (result.ref === ref) return result;
  throw new BlobError("corrupt", `the server stored what was put as ${ref} under ${result.ref}`);
}

function corrupt(ref: Ref): BlobError {
  return new BlobError("corrupt", `the server gave another content for ${ref}`);
}
