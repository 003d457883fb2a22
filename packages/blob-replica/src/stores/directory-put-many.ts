import { type Ref, refOf } from "../ref.js";
import type { PutManyResult } from "../store.js";
import type { DirectoryWriter } from "./directory-write.js";
import { systemCode } from "./file-errors.js";
import type { KeyedLock } from "./keyed-lock.js";

export interface PutTogetherOptions {
  readonly signal: AbortSignal | undefined;
  readonly writer: DirectoryWriter;
  /** Of the whole store. */
  readonly writes: KeyedLock<Ref>;
  /** Before each part. @throws when the store was closed */
  readonly begin: () => void;
  /** One by itself: whether it was added. */
  readonly put: (blob: Uint8Array, ref: Ref, signal: AbortSignal | undefined) => Promise<boolean>;
  /** What the caller is told. */
  readonly failure: (error: unknown, signal: AbortSignal | undefined) => Promise<unknown>;
}

/** Hashed when its turn comes: the first ones are on their way to the disk by then. */
class Item {
  readonly i: number;
  readonly blob: Uint8Array;
  #ref: Ref | undefined;

  constructor(i: number, blob: Uint8Array, ref: Ref | undefined) {
    this.i = i;
    this.blob = blob;
    this.#ref = ref;
  }

  get ref(): Ref {
    this.#ref ??= refOf(this.blob);
    return this.#ref;
  }
}

const writesAtOnce = 64;
/** Temporary files that are written before they get their names. */
const partSize = 1_024;

/** One result for each blob, in their order. @throws `signal.reason` */
export async function putTogether(
  blobs: readonly Uint8Array[],
  refs: readonly Ref[] | undefined,
  options: PutTogetherOptions,
): Promise<readonly PutManyResult[]> {
  const results = new Array<PutManyResult>(blobs.length);
  const items = blobs.map((blob, i) => new Item(i, blob, refs?.[i]));
  for (let at = 0; at < items.length; at += partSize) {
    const part = items.slice(at, at + partSize);
    try {
      options.begin();
      await putPart(part, results, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      for (const { i, ref } of part) results[i] ??= { ref, error }; // closed meanwhile
    }
  }
  return results;
}

/**
 * First the contents, then the names, then one sync for each folder: the journal of a file system commits for many at a time where nothing else is in between. What
 * somebody else is writing, or what is there twice, comes after that, one by one: nobody waits for one who waits for him.
 */
async function putPart(
  part: readonly Item[],
  results: PutManyResult[],
  { signal, writer, writes, put, failure }: PutTogetherOptions,
): Promise<void> {
  const failed = async ({ i, ref }: Item, error: unknown) => {
    results[i] = { ref, error: await failure(error, signal) };
  };
  /** Those for which `work` gives undefined have no result yet. */
  const each = async (items: Iterable<Item>, work: (item: Item) => Promise<boolean | undefined>) => {
    await inLanes(items, async (item) => {
      if (signal?.aborted) return;
      try {
        const added = await work(item);
        if (added !== undefined) results[item.i] = { ref: item.ref, added };
      } catch (error) {
        await failed(item, error);
      }
    });
    signal?.throwIfAborted();
  };

  const taken: Item[] = [];
  const releases: (() => void)[] = [];
  const later: Item[] = [];
  const staged = new Map<Item, string>();
  try {
    await each(part, async (item) => {
      const release = writes.tryTake(item.ref);
      (release ? taken : later).push(item);
      if (release === undefined) return undefined;
      releases.push(release);
      const temporary = await writer.stage(item.ref, item.blob, signal);
      if (temporary !== undefined) staged.set(item, temporary);
      return temporary !== undefined;
    });
    await each([...staged.keys()], async (item) => {
      const temporary = staged.get(item) as string; // it is a key
      staged.delete(item);
      await writer.publish(item.ref, temporary);
      return true;
    });
    const written = taken.filter(({ i }) => results[i]?.error === undefined);
    const failures = await writer.syncNamesOf(written.map(({ ref }) => ref));
    for (const item of written) {
      if (failures.has(item.ref)) await failed(item, failures.get(item.ref));
    }
    signal?.throwIfAborted();
  } finally {
    for (const temporary of staged.values()) await writer.discard(temporary);
    for (const release of releases) release();
  }
  // What failed for want of a folder, which somebody removed: a write of its own makes it again.
  const again = taken.filter(({ i }) => systemCode(causeOf(results[i])) === "ENOENT");
  await each([...again, ...later], ({ blob, ref }) => put(blob, ref, signal));
}

/** @param work never rejects */
async function inLanes(items: Iterable<Item>, work: (item: Item) => Promise<void>): Promise<void> {
  const all = items[Symbol.iterator]();
  const lane = async () => {
    for (let next = all.next(); next.done !== true; next = all.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: writesAtOnce }, lane));
}

function causeOf(result: PutManyResult | undefined): unknown {
  return result?.error instanceof Error ? result.error.cause : undefined;
}
