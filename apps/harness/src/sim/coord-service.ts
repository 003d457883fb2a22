/** `Coord` over the simulated network, both sides. What the client does about lost answers and broken watches is what the etcd adapter does. */
import { setMaxListeners } from "node:events";
import {
  type Coord,
  CoordError,
  type GetOptions,
  type GetResult,
  type KeySelector,
  type Lease,
  type Txn,
  type TxnResult,
  type WatchBatch,
  type WatchOptions,
} from "@x/coord";
import { sleep } from "@x/topic-gateway/protocol";
import { joined } from "./buffer-service.js";
import type { Network, Service } from "./network.js";
import type { SimProcess } from "./process.js";

interface Options {
  readonly signal?: AbortSignal;
}

interface Bodies {
  readonly clusterId: Record<string, never>;
  readonly get: { readonly selector: KeySelector; readonly revision?: bigint; readonly limit?: number };
  readonly txn: { readonly txn: Txn };
  readonly grantLease: { readonly ttlMs: number };
  readonly keepAlive: { readonly leaseId: bigint };
  readonly revokeLease: { readonly leaseId: bigint };
  readonly watch: { readonly selector: KeySelector; readonly fromRevision: bigint };
}

const REQUEST_TIMEOUT_MS = 3000;
const FIRST_RECONNECT_MS = 100;
const MAX_RECONNECT_MS = 1000;

/** What the process of a store listens with. */
export function serveCoord(store: Coord): Service {
  return (method, request, { signal }) => {
    // What comes in was sent by SimCoord below, so the types are as it sent them.
    const body = request as Bodies[keyof Bodies];
    if (method === "watch") {
      const { selector, fromRevision } = body as Bodies["watch"];
      return store.watch(selector, { fromRevision, signal });
    }
    return once(() => answer(store, method, body));
  };
}

async function* once(work: () => Promise<unknown>): AsyncGenerator<unknown> {
  yield await work();
}

async function answer(store: Coord, method: string, body: Bodies[keyof Bodies]): Promise<unknown> {
  switch (method) {
    case "clusterId":
      return await store.clusterId();
    case "get": {
      const { selector, ...options } = body as Bodies["get"];
      return await store.get(selector, options);
    }
    case "txn":
      return await store.txn((body as Bodies["txn"]).txn);
    case "grantLease":
      return await store.grantLease((body as Bodies["grantLease"]).ttlMs);
    case "keepAlive":
      return await store.keepAlive((body as Bodies["keepAlive"]).leaseId);
    case "revokeLease":
      await store.revokeLease((body as Bodies["revokeLease"]).leaseId);
      return true;
    default:
      throw new TypeError(`a coordination store has no method ${method}`);
  }
}

/** The store as seen from another process. */
export class SimCoord implements Coord {
  readonly #network: Network;
  readonly #from: SimProcess;
  readonly #address: string;
  readonly #closed: AbortController = new AbortController();
  #clusterId: string | undefined;
  /** The newest revision that any answer told. */
  #newest = 0n;

  constructor(network: Network, from: SimProcess, address: string) {
    this.#network = network;
    this.#from = from;
    this.#address = address;
    // Each call listens to it, and there may be any number of them.
    setMaxListeners(0, this.#closed.signal);
  }

  async clusterId(options: Options = {}): Promise<string> {
    this.#clusterId ??= (await this.#ask("clusterId", {}, options.signal)) as string;
    return this.#clusterId;
  }

  async get(selector: KeySelector, { signal, ...options }: GetOptions = {}): Promise<GetResult> {
    const floor = this.#newest;
    const result = (await this.#ask("get", { selector, ...options }, signal)) as GetResult;
    this.#observe(result.revision, floor);
    return result;
  }

  async txn(txn: Txn, options: Options = {}): Promise<TxnResult> {
    const floor = this.#newest;
    const result = (await this.#ask("txn", { txn }, options.signal)) as TxnResult;
    this.#observe(result.revision, floor);
    return result;
  }

  async grantLease(ttlMs: number, options: Options = {}): Promise<Lease> {
    return (await this.#ask("grantLease", { ttlMs }, options.signal)) as Lease;
  }

  async keepAlive(leaseId: bigint, options: Options = {}): Promise<Lease> {
    return (await this.#ask("keepAlive", { leaseId }, options.signal)) as Lease;
  }

  async revokeLease(leaseId: bigint, options: Options = {}): Promise<void> {
    await this.#ask("revokeLease", { leaseId }, options.signal);
  }

  watch(selector: KeySelector, options: WatchOptions = {}): AsyncIterableIterator<WatchBatch, undefined> {
    const leaving = new AbortController();
    const batches = this.#watch(selector, options, leaving.signal);
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => batches.next(),
      // Also brings a `next` back that waits.
      async return() {
        leaving.abort(LEFT);
        await batches.return(undefined);
        return { done: true, value: undefined };
      },
    };
  }

  async close(): Promise<void> {
    this.#closed.abort(new CoordError("closed", "the client of the store was closed"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *#watch(
    selector: KeySelector,
    { fromRevision, signal }: WatchOptions,
    leaving: AbortSignal,
  ): AsyncGenerator<WatchBatch, undefined> {
    using closing = joined(this.#closed.signal, signal);
    using stop = joined(closing.signal, leaving);
    let next = fromRevision;
    let reconnectMs = FIRST_RECONNECT_MS;
    try {
      for (;;) {
        try {
          // Also makes sure that the store is not behind what was told, before it is waited for.
          const { revision } = await this.get({ key: "/" }, { signal: stop.signal });
          next ??= revision + 1n;
          const request = { method: "watch", body: { selector, fromRevision: next }, signal: stop.signal };
          for await (const item of this.#network.call(this.#from, this.#address, request)) {
            const batch = item as WatchBatch;
            if (batch.revision > this.#newest) this.#newest = batch.revision;
            next = batch.revision + 1n;
            reconnectMs = FIRST_RECONNECT_MS;
            yield batch;
          }
        } catch (error) {
          stop.signal.throwIfAborted();
          const known = toCoordError(error);
          if (known.code !== "unavailable") throw known;
        }
        await sleep(this.#from.clock, this.#from.random.number() * reconnectMs, stop.signal);
        reconnectMs = Math.min(reconnectMs * 2, MAX_RECONNECT_MS);
      }
    } catch (error) {
      if (error === LEFT) return undefined;
      throw error;
    }
  }

  #observe(revision: bigint, floor: bigint): void {
    if (revision < floor) {
      throw new CoordError("history-lost", `the store's revision went back from ${floor} to ${revision}`);
    }
    if (revision > this.#newest) this.#newest = revision;
  }

  /** The answer may be lost though the work was done: that is "unavailable" too. */
  async #ask<Method extends keyof Bodies>(
    method: Method,
    body: Bodies[Method],
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    using stop = joined(this.#closed.signal, signal);
    const late = new AbortController();
    const cancel = this.#from.clock.setTimer(REQUEST_TIMEOUT_MS, () =>
      late.abort(new CoordError("unavailable", `${method} was not answered in ${REQUEST_TIMEOUT_MS} ms`)),
    );
    using either = joined(stop.signal, late.signal);
    try {
      return await this.#network.ask(this.#from, this.#address, { method, body, signal: either.signal });
    } catch (error) {
      stop.signal.throwIfAborted();
      throw toCoordError(error);
    } finally {
      cancel();
    }
  }
}

const LEFT: unique symbol = Symbol("left");

function toCoordError(error: unknown): CoordError {
  if (error instanceof CoordError) {
    // The store's process ends then; the store comes back in another one.
    const isPassing = error.code === "closed" || error.code === "fenced";
    return isPassing ? new CoordError("unavailable", "the store has stopped", { cause: error }) : error;
  }
  const why = error instanceof Error ? error.message : String(error);
  return new CoordError("unavailable", `the store did not answer: ${why}`, { cause: error });
}
