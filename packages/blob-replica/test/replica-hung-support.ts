import {
  type BlobStore,
  createReplica,
  type GetManyResult,
  type Ref,
  type Replica,
  type ReplicaEvent,
} from "../src/index.js";
import { blobOf, FakeClock, noChance } from "./replica-fakes.js";

export const hedgeAfterMs = 50;

export class CountingClock extends FakeClock {
  set = 0;

  override setTimer(delayMs: number, callback: () => void): () => void {
    this.set++;
    return super.setTimer(delayMs, callback);
  }
}

export interface Hanging {
  readonly store: BlobStore;
  readonly asked: readonly Ref[];
  running(): number;
}

/** Ends with its signal; one that is deaf does not even then. */
export function never(signal: AbortSignal | undefined, deaf: boolean, onEnd = () => {}): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => {
      if (deaf) return;
      onEnd();
      reject(signal.reason);
    });
  });
}

/** Reads of these refs never end. Everything else is as in the other. */
export function hangingFor(inner: BlobStore, hangs: (ref: Ref) => boolean, { deaf = false } = {}): Hanging {
  const asked: Ref[] = [];
  let running = 0;
  const store: BlobStore = {
    async get(ref, options) {
      asked.push(ref);
      if (!hangs(ref)) return await inner.get(ref, options);
      running++;
      return await never(options?.signal, deaf, () => running--);
    },
    put: (blob, options) => inner.put(blob, options),
    listRefs: (after, options) => inner.listRefs(after, options),
  };
  return { store, asked, running: () => running };
}

/** With a `getMany` that gives one ref after the other. */
export function oneByOne({ store }: Hanging): BlobStore {
  return {
    ...store,
    async *getMany(refs, options) {
      for (const ref of refs) {
        let result: GetManyResult;
        try {
          result = { ref, blob: await store.get(ref, options) };
        } catch (error) {
          options?.signal?.throwIfAborted();
          result = { ref, error };
        }
        yield result;
      }
    },
  };
}

export async function replicaOver(
  stores: readonly BlobStore[],
  clock: CountingClock = new CountingClock(),
): Promise<{ replica: Replica; clock: CountingClock; events: ReplicaEvent[] }> {
  const events: ReplicaEvent[] = [];
  const replica = await createReplica({
    sync: stores.map((store, i) => ({ name: `s${i}`, store })),
    clock,
    random: noChance,
    hedgeAfterMs,
    onEvent: (event) => events.push(event),
  });
  return { replica, clock, events };
}

export async function putAll(store: BlobStore, count: number): Promise<Ref[]> {
  const refs: Ref[] = [];
  for (let i = 0; i < count; i++) refs.push((await store.put(blobOf(`blob ${i}`))).ref);
  return refs;
}

export interface Watched<T> {
  value?: T;
  error?: unknown;
  settled: boolean;
}

/** What has come of it until now. */
export function watch<T>(promise: Promise<T>): Watched<T> {
  const watched: Watched<T> = { settled: false };
  promise.then(
    (value) => Object.assign(watched, { value, settled: true }),
    (error: unknown) => Object.assign(watched, { error, settled: true }),
  );
  return watched;
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
