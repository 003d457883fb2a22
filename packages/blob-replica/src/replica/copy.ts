import { putMany } from "../capabilities.js";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import type { CallOptions, GetManyResult, PutManyResult } from "../store.js";
import { unlessAborted } from "./abort.js";
import type { NamedStore } from "./options.js";
import type { Entry } from "./queue/backlog.js";
import { hasCode, type Settings } from "./settings.js";

export interface CopyOptions {
  readonly target: NamedStore;
  /** The blobs, checked. What has the code "not-found" is nowhere. */
  readonly source: (refs: readonly Ref[], options: CallOptions) => Promise<readonly GetManyResult[]>;
  readonly settings: Pick<Settings, "clock" | "attemptTimeoutMs">;
  readonly onLost: (entry: Entry, error: unknown) => void;
  /** Asked after the reading, just before anything is written or taken for lost. Throws when that is no longer this process's to do. */
  readonly confirm?: () => Promise<void>;
}

interface Found {
  readonly entry: Entry;
  readonly blob: Uint8Array;
}

/**
 * One try to write what a store waits for. Reading and writing have `attemptTimeoutMs` each, so that nobody is blamed for the other. An entry that has no outcome was lost,
 * is being deleted, or was put again meanwhile.
 * @throws when the whole try has failed: what has no outcome yet has this one
 */
export async function copy(
  options: CopyOptions,
  entries: readonly Entry[],
  outcomes: Map<Entry, PutManyResult>,
  attempt: AbortController,
): Promise<void> {
  const found = await read(options, entries, outcomes, attempt);
  // What is being deleted must not come back.
  const wanted = found.filter(({ entry }) => entry.phase !== "gone" && !entry.held);
  if (wanted.length === 0) return;
  const { target } = options;
  const refs = wanted.map(({ entry }) => entry.ref);
  const blobs = wanted.map(({ blob }) => blob);
  const late = { message: `store ${target.name} has not finished a write`, store: target.name };
  const results = await within(options, late, attempt, () => putChecked(target, blobs, refs, attempt.signal));
  wanted.forEach(({ entry }, i) => {
    outcomes.set(entry, results[i]!);
  });
}

async function read(
  options: CopyOptions,
  entries: readonly Entry[],
  outcomes: Map<Entry, PutManyResult>,
  attempt: AbortController,
): Promise<Found[]> {
  const { target, source, onLost, confirm } = options;
  const asked = new Map(entries.map((entry) => [entry.ref, { entry, lastSeq: entry.lastSeq }]));
  const late = { message: `no synchronous store has given what store ${target.name} is to get` };
  // A source that is deaf goes on by itself: that changes nothing.
  const results = await within(options, late, attempt, () =>
    unlessAborted(source([...asked.keys()], { signal: attempt.signal }), attempt.signal),
  );
  if (confirm) await unlessAborted(confirm(), attempt.signal);
  const found: Found[] = [];
  for (const result of results) {
    const { entry, lastSeq } = asked.get(result.ref)!;
    if (result.blob) found.push({ entry, blob: result.blob });
    else if (!hasCode(result.error, "not-found"))
      outcomes.set(entry, { ref: entry.ref, error: result.error });
    // A put that came after the question has written it again, perhaps after the answer.
    else if (entry.lastSeq === lastSeq) onLost(entry, result.error);
  }
  return found;
}

/** Aborts the attempt when this part of it takes too long. */
async function within<T>(
  { settings: { clock, attemptTimeoutMs } }: CopyOptions,
  late: { readonly message: string; readonly store?: string },
  attempt: AbortController,
  work: () => Promise<T>,
): Promise<T> {
  const cancelTimeout = clock.setTimer(attemptTimeoutMs, () => {
    const options = late.store === undefined ? {} : { store: late.store };
    attempt.abort(new BlobError("unavailable", `${late.message} after ${attemptTimeoutMs} ms`, options));
  });
  try {
    return await work();
  } finally {
    cancelTimeout();
  }
}

/** One result for each blob, in their order; a store that says it has put something else has failed. Never rejects but for the abort. */
export async function putChecked(
  { name, store }: NamedStore,
  blobs: readonly Uint8Array[],
  refs: readonly Ref[],
  signal: AbortSignal | undefined,
): Promise<readonly PutManyResult[]> {
  let results: readonly PutManyResult[];
  if (blobs.length === 1) {
    const ref = refs[0]!;
    try {
      results = [await store.put(blobs[0]!, { ref, frozen: true, ...(signal && { signal }) })];
    } catch (error) {
      signal?.throwIfAborted();
      results = [{ ref, error }];
    }
  } else {
    results = await putMany(store, blobs, { refs, frozen: true, ...(signal && { signal }) });
  }
  return results.map((result, i) => {
    const ref = refs[i]!;
    if (!("added" in result)) {
      const silent = new BlobError("unavailable", `store ${name} failed without a word`, { store: name });
      return { ref, error: result.error ?? silent };
    }
    if (result.ref === ref) return result;
    const message = `store ${name} was given ${ref} and says that it has put ${String(result.ref)}`;
    return { ref, error: new BlobError("corrupt", message, { store: name }) };
  });
}
