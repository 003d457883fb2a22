import type { Ref } from "../ref.js";
import type { PutManyResult } from "../store.js";
import type { DirectoryWriter } from "./directory-write.js";
import { systemCode } from "./file-errors.js";
import type { KeyedLock } from "./keyed-lock.js";
import { pool } from "./pool.js";

export interface PutTogetherOptions {
  readonly signal: AbortSignal | undefined;
  readonly writer: DirectoryWriter;
  /** Of the whole store. */
  readonly writes: KeyedLock<Ref>;
  /** Before each part. @throws when the store was closed */
  readonly begin: () => void;
  /** One by itself: whether it was added. */
  readonly put: (blob: Uint8Array, ref: Ref, signal: AbortSignal) => Promise<boolean>;
  /** What the caller is told. */
  readonly failure: (error: unknown, signal: AbortSignal | undefined) => Promise<unknown>;
}

interface Item {
  readonly i: number;
  readonly blob: Uint8Array;
  readonly ref: Ref;
}

const writesAtOnce = 64;
/** Temporary files that are written before they get their names. */
const partSize = 1_024;

/** One result for each blob, in their order. @throws `signal.reason` */
export async function putTogether(
  blobs: readonly Uint8Array[],
  refs: readonly Ref[],
  options: PutTogetherOptions,
): Promise<readonly PutManyResult[]> {
  const results = new Array<PutManyResult>(refs.length);
  const items = refs.map((ref, i): Item => ({ i, ref, blob: blobs[i] as Uint8Array })); // as many
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
  const failed = async ({ i, ref }: Item, error: unknown, child: AbortSignal | undefined) => {
    results[i] = { ref, error: await failure(error, child) };
  };
  const each = async (items: readonly Item[], work: (item: Item, child: AbortSignal) => Promise<boolean>) => {
    const run = pool(
      items,
      async (item, _index, child) => {
        try {
          results[item.i] = { ref: item.ref, added: await work(item, child) };
        } catch (error) {
          await failed(item, error, child);
        }
      },
      { limit: writesAtOnce, signal },
    );
    for await (const _ of run);
    signal?.throwIfAborted();
  };

  const taken: Item[] = [];
  const releases: (() => void)[] = [];
  const later: Item[] = [];
  for (const item of part) {
    const release = writes.tryTake(item.ref);
    (release ? taken : later).push(item);
    if (release) releases.push(release);
  }
  const staged = new Map<Item, string>();
  try {
    await each(taken, async (item, child) => {
      const temporary = await writer.stage(item.ref, item.blob, child);
      if (temporary !== undefined) staged.set(item, temporary);
      return temporary !== undefined;
    });
    await each([...staged.keys()], async (item) => {
      const temporary = staged.get(item) as string; // it is a key
      staged.delete(item);
      await writer.publish(item.ref, temporary);
      return true;
    });
    await Promise.all(
      taken.map(async (item) => {
        if (results[item.i]?.error !== undefined) return;
        try {
          await writer.syncNames(item.ref);
        } catch (error) {
          await failed(item, error, signal);
        }
      }),
    );
    signal?.throwIfAborted();
  } finally {
    for (const temporary of staged.values()) await writer.discard(temporary);
    for (const release of releases) release();
  }
  // What failed for want of a folder, which somebody removed: a write of its own makes it again.
  const again = taken.filter(({ i }) => systemCode(causeOf(results[i])) === "ENOENT");
  await each([...again, ...later], ({ blob, ref }, child) => put(blob, ref, child));
}

function causeOf(result: PutManyResult | undefined): unknown {
  return result?.error instanceof Error ? result.error.cause : undefined;
}
