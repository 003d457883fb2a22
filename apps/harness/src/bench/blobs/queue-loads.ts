/** The asynchronous side of a replica: what its queue costs, and how fast a store catches up. */
import { type BlobStore, createReplica, putMany, type Replica, type ReplicaOptions } from "@x/blob-replica";
import type { Call, Figures } from "./call.js";
import { countingFiles } from "./counting-files.js";
import type { Stores } from "./stores.js";
import { timed, together } from "./timing.js";

/** A store that says it is away as long as it is told to. */
class Reachable implements BlobStore {
  readonly #store: BlobStore;
  away = false;
  readonly putMany?: NonNullable<BlobStore["putMany"]>;

  constructor(store: BlobStore) {
    this.#store = store;
    if (store.putMany !== undefined) {
      this.putMany = (blobs, options) => this.#reach().putMany!(blobs, options); // looked at
    }
  }

  async put(...args: Parameters<BlobStore["put"]>): ReturnType<BlobStore["put"]> {
    return this.#reach().put(...args);
  }

  async get(...args: Parameters<BlobStore["get"]>): ReturnType<BlobStore["get"]> {
    return this.#reach().get(...args);
  }

  listRefs(...args: Parameters<BlobStore["listRefs"]>): ReturnType<BlobStore["listRefs"]> {
    return this.#reach().listRefs(...args);
  }

  #reach(): BlobStore {
    if (this.away) throw new Error("the store is away");
    return this.#store;
  }
}

interface Opened extends AsyncDisposable {
  readonly replica: Replica;
  readonly second: Reachable;
}

async function openReplica(
  { store = { kind: "memory" }, source = { kind: "memory" }, count }: Call,
  stores: Stores,
  queue: Partial<Extract<ReplicaOptions["queue"], { readonly dir: string }>> = {},
): Promise<Opened> {
  const second = new Reachable(await stores.open(store));
  const replica = await createReplica({
    sync: [{ name: "first", store: await stores.open(source) }],
    async: [{ name: "second", store: second }],
    queue: { dir: stores.newPath(), ...queue },
    maxQueued: Math.max(count, 1),
    // So that an outage ends when it is over, and not at the next try some seconds later.
    retryMinMs: 1,
    retryMaxMs: 5,
  });
  return { replica, second, [Symbol.asyncDispose]: () => replica[Symbol.asyncDispose]() };
}

export async function queuedPut(call: Call, stores: Stores, blobs: readonly Uint8Array[]): Promise<Figures> {
  await using opened = await openReplica(call, stores);
  // Awaited: the replica is closed at the end of this block.
  return await timed(call, () => together(blobs, call.inFlight ?? 1, (blob) => opened.replica.put(blob)));
}

export async function queueCosts(call: Call, stores: Stores, blobs: readonly Uint8Array[]): Promise<Figures> {
  const { files, counts } = countingFiles();
  await using opened = await openReplica(call, stores, { files });
  opened.second.away = true;
  const before = { ...counts };
  const figures = await timed(call, () =>
    together(blobs, call.inFlight ?? 1, (blob) => opened.replica.put(blob)),
  );
  const [state] = opened.replica.state().async;
  if (state?.backlog !== call.count) throw new Error(`${state?.backlog} of ${call.count} puts are queued`);
  return { ...figures, appends: counts.appends - before.appends, syncs: counts.syncs - before.syncs };
}

export async function catchUp(call: Call, stores: Stores, blobs: readonly Uint8Array[]): Promise<Figures> {
  await using opened = await openReplica(call, stores);
  const { replica, second } = opened;
  second.away = true;
  for (const { error } of await putMany(replica, blobs)) if (error !== undefined) throw error;
  return await timed(call, async () => {
    second.away = false;
    await replica.drained();
  });
}
