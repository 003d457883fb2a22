import { BlobError } from "../errors.js";
import { copyOf } from "../own-bytes.js";
import { parseRef, type Ref } from "../ref.js";
import { refsOfPages } from "../refs-of-pages.js";
import type {
  CallOptions,
  GetManyResult,
  GetOptions,
  ListOptions,
  PutManyResult,
  PutOptions,
  PutResult,
} from "../store.js";
import { checkAfter, checkBlob, type PutManyOptions, refForPut, refsForPut } from "../stores/arguments.js";
import { within } from "./abort.js";
import { AsyncSide } from "./async-side.js";
import { Calls } from "./calls.js";
import type { Changes } from "./changes.js";
import { Deletion } from "./deletion.js";
import { unionPages } from "./merge.js";
import type { Replica, ReplicaState } from "./options.js";
import type { ReplicaQueue, Reservation } from "./queue/queue.js";
import { Reads } from "./reads.js";
import { Recent } from "./recent.js";
import { RefOrder } from "./ref-order.js";
import type { Settings } from "./settings.js";
import { SyncSide } from "./sync-side.js";
import { Writes } from "./writes.js";

const blobsAtOnce = 256;

/** Everything of `createReplica`, over parts that each do one thing. */
export class StoreReplica implements Replica {
  readonly verified: true = true;
  readonly #settings: Settings;
  readonly #changes: Changes;
  readonly #recent = new Recent();
  readonly #reads: Reads;
  readonly #writes: Writes;
  readonly #syncSide: SyncSide;
  readonly #asyncSide: AsyncSide | undefined;
  readonly #calls = new Calls();
  readonly #order = new RefOrder();
  readonly delete?: (ref: Ref, options?: CallOptions) => Promise<boolean>;

  constructor(settings: Settings, changes: Changes, queue: ReplicaQueue | undefined) {
    this.#settings = settings;
    this.#changes = changes;
    this.#syncSide = new SyncSide(settings, changes.bump, (refs, { signal }, except) =>
      this.#reads.getAll(refs, signal, except),
    );
    this.#reads = new Reads({
      settings,
      onFailure: this.#syncSide.failed,
      onSuccess: this.#syncSide.succeeded,
      onSlow: this.#syncSide.slow,
      onDamage: this.#syncSide.repair,
      onLoser: (settled) => this.#calls.background(settled),
    });
    this.#writes = new Writes({
      settings,
      onFailure: this.#syncSide.failed,
      onSuccess: this.#syncSide.succeeded,
      onMissed: this.#syncSide.repair,
    });
    if (queue) {
      this.#asyncSide = new AsyncSide({
        settings,
        queue,
        changes,
        source: (refs, { signal }) => this.#recent.over(refs, (rest) => this.#reads.getAll(rest, signal)),
      });
    }
    if ([...settings.sync, ...settings.async].every(({ store }) => store.delete)) {
      const deletion = new Deletion({
        settings,
        order: this.#order,
        asyncSide: this.#asyncSide,
        noRepairs: (ref) => this.#syncSide.noRepairs(ref),
        quiet: (ref) => {
          this.#recent.remove(ref);
          return Promise.all([this.#syncSide.forget(ref), this.#writes.settled(ref)]);
        },
        read: (ref, signal) => this.#reads.getAll([ref], signal),
      });
      this.delete = async (ref, { signal } = {}) => {
        this.#begin(signal);
        parseRef(ref);
        return await this.#calls.run(() => deletion.run(ref, signal));
      };
    }
  }

  /** Begins with what the queue still has. */
  start(): void {
    this.#asyncSide?.start();
  }

  #begin(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    this.#calls.throwIfClosed();
    this.#asyncSide?.throwIfStrictFailed();
  }

  async get(ref: Ref, options: GetOptions = {}): Promise<Uint8Array> {
    this.#begin(options.signal);
    return await this.#reads.get(parseRef(ref), options);
  }

  async *getMany(
    refs: readonly Ref[],
    options: GetOptions = {},
  ): AsyncGenerator<GetManyResult, void, undefined> {
    this.#begin(options.signal);
    yield* this.#reads.getMany([...refs], options);
  }

  async has(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    this.#begin(options.signal);
    return await this.#reads.has(parseRef(ref), options.signal);
  }

  async *stream(ref: Ref, options: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(options.signal);
    yield* this.#reads.stream(parseRef(ref), options.signal);
  }

  listRefs(after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> {
    return refsOfPages(this.listRefPages(after, options), options.signal);
  }

  async *listRefPages(after?: Ref, options: ListOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    this.#begin(options.signal);
    yield* unionPages(this.#settings.sync, checkAfter(after), options);
  }

  async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    this.#begin(options.signal);
    checkBlob(blob);
    // The one copy: what the caller does with its bytes from now on changes nothing.
    const frozen = options.frozen ? blob : copyOf(blob);
    const ref = refForPut(frozen, options.ref);
    const [result] = await this.#calls.run(() => this.#putChunk([frozen], [ref], options.signal));
    if (result!.error !== undefined) throw result!.error;
    return result as PutResult; // no error
  }

  async putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    this.#begin(options.signal);
    for (const blob of blobs) checkBlob(blob);
    const frozen = options.frozen ? [...blobs] : blobs.map(copyOf);
    const refs = refsForPut(frozen, options.refs);
    const size = Math.min(blobsAtOnce, this.#settings.maxQueued);
    return await this.#calls.run(async () => {
      const results: PutManyResult[] = [];
      for (let at = 0; at < refs.length; at += size) {
        const chunk = refs.slice(at, at + size);
        try {
          results.push(...(await this.#putChunk(frozen.slice(at, at + size), chunk, options.signal)));
        } catch (error) {
          options.signal?.throwIfAborted();
          results.push(...chunk.map((ref) => ({ ref, error })));
        }
      }
      return results;
    });
  }

  /** At most as many as a queue has places. @throws `signal.reason`; what the queue throws */
  async #putChunk(
    blobs: readonly Uint8Array[],
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PutManyResult[]> {
    const side = this.#asyncSide;
    side?.throwIfDeposed();
    let reservation: Reservation | undefined;
    try {
      reservation = await side?.reserve(refs.length, signal, this.#calls.closing);
      return await this.#order.write(refs, signal, () => this.#write(blobs, refs, signal, reservation));
    } finally {
      if (reservation) side?.giveBack(reservation);
    }
  }

  async #write(
    blobs: readonly Uint8Array[],
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
    reservation: Reservation | undefined,
  ): Promise<readonly PutManyResult[]> {
    const side = this.#asyncSide;
    const results = await this.#writes.put(blobs, refs, signal);
    signal?.throwIfAborted();
    side?.throwIfStrictFailed();
    if (!side || !reservation) return results;
    const written: { readonly ref: Ref; readonly bytes: number }[] = [];
    results.forEach((result, i) => {
      if (result.error !== undefined) return;
      this.#recent.add(refs[i]!, blobs[i]!);
      written.push({ ref: refs[i]!, bytes: blobs[i]!.length });
    });
    // No signal from here on: what is queued stays queued, and the caller is told so.
    await side.commit(written, reservation);
    return results;
  }

  state(): ReplicaState {
    return {
      version: this.#changes.version,
      deposed: this.#asyncSide?.deposed?.aborted ?? false,
      async: this.#asyncSide?.state() ?? [],
      sync: this.#syncSide.state(),
    };
  }

  states(options: CallOptions = {}): AsyncIterable<ReplicaState> {
    return this.#changes.watch(() => this.state(), options.signal);
  }

  async drained(options: CallOptions = {}): Promise<void> {
    this.#begin(options.signal);
    const drained = this.#asyncSide?.drained();
    if (!drained) return;
    await this.#changes.until(() => {
      if (drained()) return true;
      this.#begin(options.signal);
      this.#asyncSide?.throwIfDeposed();
      return false;
    }, options.signal);
  }

  async markSynced(name: string, options: CallOptions & { readonly dropped?: number } = {}): Promise<void> {
    this.#begin(options.signal);
    const side = this.#asyncSide;
    await this.#calls.run(async () => {
      if (!side) throw new BlobError("invalid-argument", "this replica has no asynchronous stores");
      await side.markSynced(name, options.dropped);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new BlobError("closed", "the replica was closed");
    await this.#calls.close(reason, async () => {
      this.#changes.end();
      const stopped = async () => {
        await Promise.all([
          this.#asyncSide?.stop(reason),
          this.#syncSide.stop(reason),
          this.#writes.stop(reason),
        ]);
        await this.#calls.settled();
        await this.#writes.stop(reason);
      };
      // A store that ignores its signal cannot be ended.
      await within(stopped(), this.#settings.attemptTimeoutMs, this.#settings.clock);
      await this.#asyncSide?.close();
      this.#changes.bump();
    });
  }
}
