import { setMaxListeners } from "node:events";
import type { Etcd3, IResponseHeader } from "etcd3";
import { checkGet, checkLeaseId, checkRevision, checkSelector, checkTtl, checkTxn } from "../check.js";
import { CoordError } from "../errors.js";
import type {
  Coord,
  GetOptions,
  GetResult,
  KeySelector,
  Lease,
  Txn,
  TxnResult,
  WatchBatch,
  WatchOptions,
} from "../port.js";
import { type CallScope, callOnce } from "./call.js";
import { readKeyValue, readTxn, shapeOf, type WireRange, wireRange, wireTxn } from "./codec.js";
import { readCompactRevision } from "./compact-revision.js";
import type { Endpoints } from "./endpoints.js";
import { History } from "./history.js";
import { keepAliveOnce } from "./keep-alive.js";
import { isFutureRevision } from "./status.js";
import { type WatchHost, watchRevisions } from "./watch.js";
import type { CallOptions } from "./wire.js";

type Signal = AbortSignal | undefined;
type SignalOption = { readonly signal?: AbortSignal };

export interface EtcdCoordParts extends Omit<WatchHost, "scope" | "observe" | "checkHistory"> {
  readonly clock: CallScope["clock"];
  readonly requestTimeoutMs: number;
}

/** The `Coord` port on etcd. See `etcdCoord`. */
export class EtcdCoord implements Coord {
  readonly #host: WatchHost;
  readonly #scope: CallScope;
  readonly #endpoints: Endpoints;
  readonly #history: History = new History();
  readonly #ended: AbortController = new AbortController();
  #closed: CoordError | undefined;
  /** Reads that find out where watches begin; see `watch`. */
  readonly #starts: Set<Promise<unknown>> = new Set();

  constructor(parts: EtcdCoordParts) {
    setMaxListeners(0, this.#ended.signal); // one for each call and watch under way: many are no leak
    this.#endpoints = parts.endpoints;
    this.#scope = {
      clock: parts.clock,
      requestTimeoutMs: parts.requestTimeoutMs,
      ended: this.#ended.signal,
    };
    this.#host = {
      ...parts,
      scope: this.#scope,
      observe: (header) => this.#observe(header),
      checkHistory: (range, signal) => this.#readNewest(range.key, signal),
    };
  }

  async clusterId({ signal }: SignalOption = {}): Promise<string> {
    this.#throwIfOver(signal);
    if (this.#history.clusterId === undefined) await this.#readNewest(Buffer.from([0]), signal);
    return this.#history.clusterId as string; // known after any answer
  }

  async get(selector: KeySelector, options: GetOptions = {}): Promise<GetResult> {
    checkGet(selector, options);
    this.#throwIfOver(options.signal);
    const { signal, revision: at, limit = 0 } = options;
    const range = wireRange(selector);
    if (range === undefined)
      return { revision: await this.#readNewest(Buffer.from([0]), signal), kvs: [], more: false };
    const floor = this.#history.newest;
    const request = { ...range, limit, revision: at === undefined ? "0" : String(at) };
    try {
      const answer = await this.#read("read", signal, (client, call) => client.kv.range(request, call));
      const revision = this.#observe(answer.header, floor);
      return { revision, kvs: answer.kvs.map(readKeyValue), more: answer.more };
    } catch (error) {
      throw at === undefined ? error : await this.#explain(error, { at, floor, key: range.key, signal });
    }
  }

  async txn(txn: Txn, { signal }: SignalOption = {}): Promise<TxnResult> {
    checkTxn(txn);
    this.#throwIfOver(signal);
    const request = wireTxn(txn);
    const shape = shapeOf(txn);
    const starts = [...this.#starts];
    const floor = this.#history.newest;
    const answer = await this.#write("commit the transaction", signal, async (client, call) => {
      if (starts.length > 0) await Promise.allSettled(starts);
      return await client.kv.txn(request, call);
    });
    this.#observe(answer.header, floor);
    return readTxn(shape, answer);
  }

  async grantLease(ttlMs: number, { signal }: SignalOption = {}): Promise<Lease> {
    checkTtl(ttlMs);
    this.#throwIfOver(signal);
    const floor = this.#history.newest;
    const request = { TTL: Math.ceil(ttlMs / 1000) };
    const answer = await this.#write("grant a lease", signal, (client, call) =>
      client.leaseClient.leaseGrant(request, call),
    );
    this.#observe(answer.header, floor);
    return { id: BigInt(answer.ID), ttlMs: Number(answer.TTL) * 1000 };
  }

  async keepAlive(leaseId: bigint, { signal }: SignalOption = {}): Promise<Lease> {
    checkLeaseId(leaseId);
    this.#throwIfOver(signal);
    const client = this.#endpoints.current;
    const answer = await this.#noting(client, keepAliveOnce(this.#scope, client, leaseId, signal));
    this.#observe(answer.header);
    return { id: leaseId, ttlMs: answer.ttlMs };
  }

  async revokeLease(leaseId: bigint, { signal }: SignalOption = {}): Promise<void> {
    checkLeaseId(leaseId);
    this.#throwIfOver(signal);
    const floor = this.#history.newest;
    const request = { ID: String(leaseId) };
    const answer = await this.#write("revoke a lease", signal, (client, call) =>
      client.leaseClient.leaseRevoke(request, call),
    );
    this.#observe(answer.header, floor);
  }

  watch(selector: KeySelector, options: WatchOptions = {}): AsyncIterable<WatchBatch> {
    checkSelector(selector);
    const { signal, fromRevision } = options;
    if (fromRevision !== undefined) checkRevision(fromRevision);
    const range = wireRange(selector);
    const from = fromRevision === undefined ? this.#start(range, signal) : Promise.resolve(fromRevision);
    return watchRevisions(this.#host, { range, from, signal });
  }

  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#closed = new CoordError("closed", "this coord was closed");
    this.#ended.abort(this.#closed);
    this.#endpoints.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Asked at once, not when the loop begins, because "the newest revision at the time of the call" is promised.
   * Transactions of this coord that are sent later wait for the answer: etcd handles the calls of one connection at
   * the same time, and the read could else count in a transaction that came after it, of which the watch would then
   * not tell.
   */
  #start(range: WireRange | undefined, signal: Signal): Promise<bigint> {
    const start = this.#readNewest(range?.key ?? Buffer.from([0]), signal).then((revision) => revision + 1n);
    this.#starts.add(start);
    const done = (): void => void this.#starts.delete(start);
    start.then(done, done); // also: nobody may ever look at how it failed
    return start;
  }

  /** A linearizable read of next to nothing, for the revision in its header. */
  async #readNewest(key: Buffer, signal: Signal): Promise<bigint> {
    this.#throwIfOver(signal);
    const floor = this.#history.newest;
    const request = { key, keys_only: true };
    const answer = await this.#read("read", signal, (client, call) => client.kv.range(request, call));
    return this.#observe(answer.header, floor);
  }

  /** Asks each member once, until one answers: a read may be done twice. */
  async #read<T>(
    what: string,
    signal: Signal,
    send: (client: Etcd3, call: CallOptions) => Promise<T>,
  ): Promise<T> {
    const { clock, requestTimeoutMs } = this.#scope;
    const deadline = clock.monotonicMs() + requestTimeoutMs;
    for (let left = this.#endpoints.size - 1; ; left--) {
      const client = this.#endpoints.current;
      const timeoutMs = Math.max(deadline - clock.monotonicMs(), 0);
      try {
        return await callOnce(this.#scope, { what, signal, timeoutMs }, (call) => send(client, call));
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        this.#endpoints.failed(client);
        if (left === 0 || clock.monotonicMs() >= deadline) throw error;
      }
    }
  }

  /** Asks once: what failed may have been done all the same. */
  async #write<T>(
    what: string,
    signal: Signal,
    send: (client: Etcd3, call: CallOptions) => Promise<T>,
  ): Promise<T> {
    const client = this.#endpoints.current;
    return await this.#noting(
      client,
      callOnce(this.#scope, { what, signal }, (call) => send(client, call)),
    );
  }

  async #noting<T>(client: Etcd3, call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (isUnavailable(error)) this.#endpoints.failed(client);
      throw error;
    }
  }

  /** A lost history is lost for everybody who uses this coord, and for ever. */
  #observe(header: IResponseHeader | null, floor?: bigint): bigint {
    this.#ended.signal.throwIfAborted();
    try {
      return this.#history.observe(header, floor);
    } catch (error) {
      if (error instanceof CoordError && error.code === "history-lost") this.#ended.abort(error);
      throw error;
    }
  }

  /** What a failed read of an old revision means: etcd's errors come without a header. */
  async #explain(
    error: unknown,
    { at, floor, key, signal }: { at: bigint; floor: bigint; key: Buffer; signal: Signal },
  ): Promise<unknown> {
    if (!(error instanceof CoordError)) return error;
    if (error.code === "invalid-argument" && isFutureRevision({ code: undefined, details: error.message })) {
      // Seen before, and yet in the future: this look at the header says "history-lost".
      if (at <= floor) await this.#readNewest(key, signal);
      return error;
    }
    if (error.code !== "compacted") return error;
    const compactRevision = await readCompactRevision(this.#scope, this.#endpoints.current, {
      at,
      key,
      observe: this.#host.observe,
      signal,
    });
    const message = `revision ${at} is compacted: etcd's history begins at ${compactRevision ?? "a later one"}`;
    return new CoordError("compacted", message, { cause: error, compactRevision });
  }

  #throwIfOver(signal: Signal): void {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    this.#ended.signal.throwIfAborted();
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof CoordError && error.code === "unavailable";
}
