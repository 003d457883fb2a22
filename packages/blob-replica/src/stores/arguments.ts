import { BlobError } from "../errors.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import type { CallOptions, PutOptions } from "../store.js";

/** What every store says to arguments that are none. @throws BlobError "invalid-argument" */
export function checkBlob(blob: unknown): asserts blob is Uint8Array {
  if (!(blob instanceof Uint8Array)) {
    const kind = blob === null ? "null" : typeof blob;
    throw new BlobError("invalid-argument", `a blob is a Uint8Array, not ${kind}`);
  }
}

/** The ref that the caller gave, or the blob's own. @throws BlobError "invalid-argument", "invalid-ref" */
export function refForPut(blob: unknown, ref: Ref | undefined): Ref {
  checkBlob(blob);
  return ref === undefined ? refOf(blob) : parseRef(ref);
}

/** What every store says to blobs that are put together, before anything is written. @throws BlobError "invalid-argument", "invalid-ref" */
export function checkPutMany(
  blobs: readonly unknown[],
  refs: readonly Ref[] | undefined,
): asserts blobs is readonly Uint8Array[] {
  if (refs !== undefined && refs.length !== blobs.length) {
    throw new BlobError(
      "invalid-argument",
      `refs has ${refs.length} entries for ${blobs.length} blobs: leave it out, or give one for each blob`,
    );
  }
  for (let i = 0; i < blobs.length; i++) {
    checkBlob(blobs[i]);
    if (refs !== undefined) parseRef(refs[i] as Ref); // as many
  }
}

/** The refs of blobs that are put together. @throws as `checkPutMany` */
export function refsForPut(blobs: readonly unknown[], refs: readonly Ref[] | undefined): Ref[] {
  checkPutMany(blobs, refs);
  return refs === undefined ? blobs.map(refOf) : [...refs];
}

/** @throws BlobError "invalid-ref" */
export function checkAfter(after: Ref | undefined): Ref | undefined {
  return after === undefined ? undefined : parseRef(after);
}

/** @throws BlobError "invalid-argument" */
export function checkCount(name: string, value: number, atLeast: number): number {
  if (!Number.isSafeInteger(value) || value < atLeast) {
    throw new BlobError("invalid-argument", `${name} is a whole number of at least ${atLeast}, not ${value}`);
  }
  return value;
}

export interface PutManyOptions extends CallOptions {
  readonly refs?: readonly Ref[];
  readonly frozen?: boolean;
}

/** The options of one put of many. */
export function onePutOptions(
  ref: Ref,
  options: PutManyOptions,
  signal: AbortSignal | undefined,
): PutOptions {
  return {
    ref,
    ...(options.frozen === undefined ? {} : { frozen: options.frozen }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** `{ signal }`, or nothing: an absent option is absent. */
export function signalOption(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}
