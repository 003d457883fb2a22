import { setMaxListeners } from "node:events";
import type {
  AppendStream,
  CallOptions,
  FragmentTransport,
  RoutedJournalClient,
} from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import type { Route } from "../protocol/header.js";
import { stripMeta } from "../protocol/journal-name.js";
import { checkAppendRequest } from "../protocol/request-rules.js";
import type {
  AppendRequest,
  ApplyRequest,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "../protocol/requests.js";
import type {
  ApplyResponse,
  FragmentStoreHealthResponse,
  FragmentsResponse,
  ListResponse,
  ReadResponse,
} from "../protocol/responses.js";
import { systemClock, systemRandom } from "../system.js";
import { type AppendServiceOptions, boundsOf } from "./append-service-options.js";
import { DEFAULT_CHUNK_BYTES } from "./appender.js";
import type { AsyncAppend, AsyncJournalClient } from "./async-journal-client.js";
import { ChunkMemory } from "./chunk-memory.js";
import { tell } from "./events.js";
import { JournalChain } from "./journal-chain.js";
import { nodeSpillFiles } from "./node-spill.js";
import { finishedOperation, type OpFuture, OpFutures } from "./op-future.js";
import { RoomQueue } from "./room-queue.js";
import { type ChainService, sendBatch } from "./send-batch.js";
import { SendBuffers } from "./send-buffers.js";
import { Spill } from "./spill.js";

export type { AppendServiceOptions, SpillOptions } from "./append-service-options.js";

/**
 * Appends in the background, in order per journal, each tried again until it is committed: through restarts and outages of the brokers.
 * Appends with the same request that wait at the same time go with one RPC, so that small ones are cheap.
 *
 * Each append is committed at least once: when a broker goes away while it commits, the batch is sent again and may then stand in the
 * journal twice. Not so for a request that fences (`offset`, `checkRegisters`): there a try whose outcome is not known is a failure, with
 * the code of the try, "transport" or "invalid-response".
 *
 * What no retry can mend fails the append, and for good everything after it in its journal: the statuses `journal-not-found`, `not-allowed`,
 * `register-mismatch`, `wrong-append-offset`, `index-has-greater-offset`, `fragment-store-unhealthy`, `suspended` (of a request that does not
 * resume), a failed dependency, and the unknown outcomes of fenced requests. Otherwise something could be committed whose predecessor
 * is missing. The other journals go on. A new service begins anew.
 *
 * Memory is bounded over all journals: `await ready()` before an append waits for room. With `spill`, what does not fit goes to local
 * files, which are gone with the process: they bridge outages of brokers, not of the machine.
 */
export class AppendService implements AsyncJournalClient, AsyncDisposable {
  readonly #client: RoutedJournalClient;
  readonly #signal: AbortSignal | undefined;
  /** Aborted with the signal, which one listens to instead of each RPC: there may be thousands. */
  readonly #rpcs = new AbortController();
  readonly #memory: ChunkMemory;
  readonly #spill: Spill | undefined;
  readonly #room: RoomQueue;
  readonly #chains = new Map<string, JournalChain>();
  /** Journals that have failed for good. */
  readonly #failures = new Map<string, unknown>();
  readonly #service: ChainService;
  #closed = false;
  #aborted = false;
  #onIdle: (() => void)[] = [];

  /** @throws JournalError "invalid-argument" */
  constructor(client: RoutedJournalClient, options: AppendServiceOptions = {}) {
    const { signal, spill, clock = systemClock, random = systemRandom } = options;
    const { fileSystem = nodeSpillFiles, onEvent } = options;
    const { maxMemoryBytes, maxSpillBytes, cutoffBytes } = boundsOf(options);
    this.#client = client;
    this.#signal = signal;
    setMaxListeners(0, this.#rpcs.signal);
    // With little memory, small chunks: a journal must not take all of it.
    const chunkBytes = Math.min(DEFAULT_CHUNK_BYTES, Math.max(4096, Math.floor(maxMemoryBytes / 64)));
    const memory = new ChunkMemory(chunkBytes, 2 * maxMemoryBytes);
    this.#memory = memory;
    this.#room = new RoomQueue(() => memory.used < maxMemoryBytes || signal?.aborted === true);
    const buffers = new SendBuffers(memory);
    memory.onGive = () => {
      buffers.look();
      this.#room.look();
    };
    if (spill !== undefined) {
      const files = new Spill({
        dir: spill.dir,
        maxBytes: maxSpillBytes,
        aboveBytes: maxMemoryBytes / 2,
        files: fileSystem,
        memory,
        clock,
        random,
        onFailure: (error, delayMs) => tell(onEvent, { type: "spill-failed", error, delayMs }),
      });
      memory.onTake = () => files.press();
      this.#spill = files;
    }
    const send = {
      client,
      memory,
      buffers,
      clock,
      random,
      signal: signal && this.#rpcs.signal,
      onRetry: (journal: string, error: unknown, attempt: number, delayMs: number) =>
        tell(onEvent, { type: "retry", journal, error, attempt, delayMs }),
    };
    this.#service = {
      memory,
      observe: this.#spill?.offer,
      cutoffBytes,
      get aborted() {
        return signal?.aborted === true;
      },
      check: checkAppendRequest,
      failureOf: (journal) => (signal?.aborted ? signal.reason : this.#failures.get(journal)),
      fail: (journal, error) => void this.#failures.set(journal, error),
      send: (batch, pause) => sendBatch(batch, send, pause),
      idle: (chain) => this.#remove(chain.journal),
    };
  }

  startAppend(request: AppendRequest, dependencies?: ReadonlySet<OpFuture>): AsyncAppend {
    if (this.#closed) throw new JournalError("closed", "this append service is closed");
    const known = this.#chains.get(request?.journal);
    if (known !== undefined && !this.#aborted) return known.start(request, dependencies);
    // Who has no name to look under fails here, everybody else in the chain.
    if (typeof request?.journal !== "string") checkAppendRequest(request);
    const journal = stripMeta(request.journal);
    const chain = this.#chains.get(journal) ?? new JournalChain(journal, this.#service);
    if (this.#signal?.aborted && !this.#aborted) this.#onAbort();
    const append = chain.start(request, dependencies);
    if (this.#aborted) chain.giveUp(this.#signal?.reason);
    if (this.#chains.size === 0) this.#signal?.addEventListener("abort", this.#onAbort);
    this.#chains.set(journal, chain);
    return append;
  }

  pendingExcept(journal: string): OpFutures {
    const except = stripMeta(journal);
    const pending = new OpFutures();
    for (const [name, error] of this.#failures) {
      if (name !== except) pending.add(finishedOperation(error));
    }
    for (const [name, chain] of this.#chains) {
      const future = name === except ? undefined : chain.pending();
      if (future !== undefined) pending.add(future);
    }
    return pending;
  }

  /**
   * Resolves when there is room for appends, at once when there is; those who wait are let in one after the other.
   *
   * No room is kept: start the append and write it when this has resolved, before anything else is waited for. Callers who first do
   * something that takes its time (a read, another request) may be so many that together they pass the bound, and then get
   * "buffer-full" all the same; get the content first, and wait for room then. Up to 32 callers are let in before the first of them has
   * written: start appends larger than a hundredth of `maxMemoryBytes` from one place, one after the other.
   * @throws the signal's reason
   */
  ready(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#room.enter(options.signal);
  }

  /** Bytes that are held now. */
  get usage(): { readonly memoryBytes: number; readonly spilledBytes: number } {
    return { memoryBytes: this.#memory.used, spilledBytes: this.#spill?.diskBytes ?? 0 };
  }

  /**
   * Takes no more appends, and resolves when all that were started are committed or have failed. Those that are not released keep it
   * waiting. To end at once, abort the service's own signal: that ends those, too.
   * @throws the signal's reason: then only the waiting has ended
   */
  async close({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#closed = true;
    if (this.#chains.size > 0) {
      let wake = (): void => {};
      try {
        await new Promise<void>((resolve) => {
          wake = resolve;
          this.#onIdle.push(resolve);
          signal?.addEventListener("abort", wake);
        });
      } finally {
        signal?.removeEventListener("abort", wake);
        this.#onIdle = this.#onIdle.filter((other) => other !== wake);
      }
      signal?.throwIfAborted();
    }
    await this.#spill?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  route(item: string): Route {
    return this.#client.route(item);
  }

  updateRoute(item: string, route: Route | undefined): void {
    this.#client.updateRoute(item, route);
  }

  get isNoopRouter(): boolean {
    return this.#client.isNoopRouter;
  }

  openRead(
    request: ReadRequest,
    options?: CallOptions & { readonly route?: Route },
  ): AsyncIterable<ReadResponse> {
    return this.#client.openRead(request, options);
  }

  /** One Append RPC, at once and by itself: in no order with the appends of this service. */
  openAppend(request: AppendRequest, options?: CallOptions): AppendStream {
    return this.#client.openAppend(request, options);
  }

  openList(request: ListRequest, options?: CallOptions): AsyncIterable<ListResponse> {
    return this.#client.openList(request, options);
  }

  apply(request: ApplyRequest, options?: CallOptions): Promise<ApplyResponse> {
    return this.#client.apply(request, options);
  }

  listFragments(request: FragmentsRequest, options?: CallOptions): Promise<FragmentsResponse> {
    return this.#client.listFragments(request, options);
  }

  fragmentStoreHealth(fragmentStore: string, options?: CallOptions): Promise<FragmentStoreHealthResponse> {
    return this.#client.fragmentStoreHealth(fragmentStore, options);
  }

  get fragments(): FragmentTransport {
    return this.#client.fragments;
  }

  readonly #onAbort = (): void => {
    this.#aborted = true;
    for (const chain of this.#chains.values()) chain.giveUp(this.#signal?.reason);
    this.#rpcs.abort(this.#signal?.reason);
    this.#room.look();
  };

  #remove(journal: string): void {
    this.#chains.delete(journal);
    if (this.#chains.size > 0) return;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    for (const resolve of this.#onIdle) resolve();
  }
}
