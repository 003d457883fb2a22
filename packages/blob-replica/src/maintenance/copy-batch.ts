import { getMany, listRefPages, putMany } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes } from "../ref.js";
import type { BlobStore } from "../store.js";
import { isContentOf } from "../stores/verified.js";
import { namedError, refBefore } from "./ref-reader.js";
import type { Side } from "./side-digests.js";

/** `bytes`: it was copied. Neither: it was deleted before it could be. */
export type CopyOutcome =
  | { readonly bytes?: number; readonly error?: undefined }
  | { readonly error: unknown; readonly bytes?: undefined };

export interface CopyOptions {
  readonly signal: AbortSignal;
  /** For stores that have no call for many. */
  readonly concurrency: number;
  /** What was read is written when it has so many. */
  readonly batchBytes: number;
  /** Once for each ref, as they come. */
  readonly onDone: (ref: Ref, outcome: CopyOutcome) => void;
}

/** Copies the blobs from one store to the other, and verifies them on the way. The refs are different ones. @throws `signal.reason` */
export async function copyBatch(
  from: Side,
  to: Side,
  refs: readonly Ref[],
  options: CopyOptions,
): Promise<void> {
  const { signal, concurrency, batchBytes, onDone } = options;
  let read: { readonly ref: Ref; readonly blob: Uint8Array }[] = [];
  let bytes = 0;
  const write = async (): Promise<void> => {
    const batch = read;
    read = [];
    bytes = 0;
    await writeAll(to, batch, options);
  };
  for await (const { ref, blob, error } of getMany(from.store, refs, { frozen: true, signal, concurrency })) {
    try {
      if (blob === undefined) throw error;
      if (!isContentOf(ref, blob, from.store)) {
        const message = `${from.name} has another content under ${ref}`;
        throw new BlobError("corrupt", message, { store: from.name });
      }
    } catch (failure) {
      signal.throwIfAborted();
      onDone(ref, await unread(from, ref, failure, signal));
      continue;
    }
    read.push({ ref, blob });
    bytes += blob.length;
    // Before the next ones are asked for: this is what bounds the memory.
    if (bytes >= batchBytes) await write();
  }
  if (read.length > 0) await write();
}

async function writeAll(
  { store, name }: Side,
  batch: readonly { readonly ref: Ref; readonly blob: Uint8Array }[],
  { signal, concurrency, onDone }: CopyOptions,
): Promise<void> {
  const results = await putMany(
    store,
    batch.map(({ blob }) => blob),
    { refs: batch.map(({ ref }) => ref), frozen: true, signal, concurrency },
  );
  for (const [i, result] of results.entries()) {
    const { ref, blob } = batch[i] as (typeof batch)[number]; // as many
    let failure = result.error;
    if (result.added === undefined) failure ??= new BlobError("unavailable", "it failed without a word");
    else if (result.ref !== ref) failure = new BlobError("corrupt", `it put ${ref} under ${result.ref}`);
    onDone(
      ref,
      failure === undefined
        ? { bytes: blob.length }
        : { error: namedError(failure, name, `writing ${ref} to`) },
    );
  }
}

/** What is not there, and not listed any more, is no failure. */
async function unread(
  { store, name }: Side,
  ref: Ref,
  failure: unknown,
  signal: AbortSignal,
): Promise<CopyOutcome> {
  const missing = failure instanceof BlobError && failure.code === "not-found";
  let error = failure;
  try {
    if (missing && !(await isListed(store, ref, signal))) return {};
  } catch (listing) {
    signal.throwIfAborted();
    error = listing;
  }
  return { error: namedError(error, name, `reading ${ref} from`) };
}

/** Whether the store still lists the ref: it says that it has what it cannot give. */
export async function isListed(store: BlobStore, ref: Ref, signal: AbortSignal): Promise<boolean> {
  for await (const page of listRefPages(store, refBefore(ref), { signal, limit: 1 })) {
    return refFromBytes(page.subarray(0, refBytes)) === ref;
  }
  signal.throwIfAborted();
  return false;
}
