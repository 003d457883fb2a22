import { getMany, listRefPages, putMany, streamBlob } from "../capabilities.js";
import type { Clock } from "../clock.js";
import { BlobError, type BlobErrorCode } from "../errors.js";
import type { Ref } from "../ref.js";
import type {
  BlobStore,
  CallOptions,
  GetManyResult,
  PrefixDigest,
  PutManyResult,
  PutOptions,
  PutResult,
} from "../store.js";
import { systemClock } from "../system.js";
import type { PutManyOptions } from "./arguments.js";

export type StoreOperation =
  | "get"
  | "put"
  | "list"
  | "getMany"
  | "putMany"
  | "has"
  | "delete"
  | "stream"
  | "prefixDigests";

/** Of one call that has ended. */
export interface CallMeasurement {
  readonly operation: StoreOperation;
  /** "ok", the code of its BlobError, "aborted" by its signal, "left" by a caller who did not want the rest, or "error" for anything else. */
  readonly outcome: "ok" | "aborted" | "left" | "error" | BlobErrorCode;
  readonly durationMs: number;
  /** Of content that was read or written. */
  readonly bytes: number;
  /** Blobs or refs that were read, written or listed; those that failed are not among them. */
  readonly items: number;
  /** Of a batch: results that are errors. */
  readonly failures: number;
}

/** Where the figures go. What it throws is dropped: measuring never fails a call. */
export interface StoreMetrics {
  callEnded(measurement: CallMeasurement): void;
}

/** Tells of every call of the store when it ends. Changes nothing else. */
export function metered(
  store: BlobStore,
  metrics: StoreMetrics,
  options: { readonly clock?: Clock } = {},
): BlobStore {
  const clock = options.clock ?? systemClock;

  const begin = (operation: StoreOperation, signal: AbortSignal | undefined) => {
    const begunMs = clock.monotonicMs();
    const counts = { bytes: 0, items: 0, failures: 0 };
    const end = (outcome: CallMeasurement["outcome"]) => {
      try {
        metrics.callEnded({ operation, outcome, durationMs: clock.monotonicMs() - begunMs, ...counts });
      } catch {
        // see StoreMetrics
      }
    };
    const failed = (error: unknown) => {
      if (signal?.aborted && error === signal.reason) end("aborted");
      else end(error instanceof BlobError ? error.code : "error");
    };
    return { counts, end, failed };
  };

  async function one<Result>(
    operation: StoreOperation,
    signal: AbortSignal | undefined,
    call: () => Promise<Result>,
    count: (result: Result, counts: { bytes: number; items: number; failures: number }) => void,
  ): Promise<Result> {
    const { counts, end, failed } = begin(operation, signal);
    let result: Result;
    try {
      result = await call();
    } catch (error) {
      failed(error);
      throw error;
    }
    count(result, counts);
    end("ok");
    return result;
  }

  async function* many<Item>(
    operation: StoreOperation,
    signal: AbortSignal | undefined,
    items: () => AsyncIterable<Item>,
    count: (item: Item, counts: { bytes: number; items: number; failures: number }) => void,
  ): AsyncGenerator<Item, void, undefined> {
    const { counts, end, failed } = begin(operation, signal);
    let ended = false;
    try {
      for await (const item of items()) {
        count(item, counts);
        yield item;
      }
      ended = true;
      end("ok");
    } catch (error) {
      ended = true;
      failed(error);
      throw error;
    } finally {
      if (!ended) end("left");
    }
  }

  const { has, delete: remove, prefixDigests, [Symbol.asyncDispose]: dispose } = store;
  return {
    ...(store.verified !== undefined && { verified: store.verified }),
    get: (ref: Ref, options: CallOptions = {}): Promise<Uint8Array> =>
      one(
        "get",
        options.signal,
        () => store.get(ref, options),
        (blob, counts) => {
          counts.items = 1;
          counts.bytes = blob.length;
        },
      ),
    put: (blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> =>
      one(
        "put",
        options.signal,
        () => store.put(blob, options),
        (_result, counts) => {
          counts.items = 1;
          counts.bytes = blob.length;
        },
      ),
    listRefs: (after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> =>
      many(
        "list",
        options.signal,
        () => store.listRefs(after, options),
        (_ref, counts) => {
          counts.items++;
        },
      ),
    listRefPages: (after?: Ref, options: CallOptions = {}): AsyncIterable<Uint8Array> =>
      many(
        "list",
        options.signal,
        () => listRefPages(store, after, options),
        (page, counts) => {
          counts.items += page.length / 32;
        },
      ),
    getMany: (refs: readonly Ref[], options: CallOptions = {}): AsyncIterable<GetManyResult> =>
      many(
        "getMany",
        options.signal,
        () => getMany(store, refs, options),
        ({ blob }, counts) => {
          if (blob) counts.items++;
          else counts.failures++;
          counts.bytes += blob?.length ?? 0;
        },
      ),
    putMany: (
      blobs: readonly Uint8Array[],
      options: PutManyOptions = {},
    ): Promise<readonly PutManyResult[]> =>
      one(
        "putMany",
        options.signal,
        () => putMany(store, blobs, options),
        (results, counts) => {
          for (const [i, { added }] of results.entries()) {
            if (added === undefined) counts.failures++;
            else {
              counts.items++;
              counts.bytes += blobs[i]?.length ?? 0;
            }
          }
        },
      ),
    stream: (ref: Ref, options: CallOptions = {}): AsyncIterable<Uint8Array> =>
      many(
        "stream",
        options.signal,
        () => streamBlob(store, ref, options),
        (piece, counts) => {
          counts.items = 1;
          counts.bytes += piece.length;
        },
      ),
    ...(has && {
      has: (ref: Ref, options: CallOptions = {}): Promise<boolean> =>
        one(
          "has",
          options.signal,
          () => has.call(store, ref, options),
          () => {},
        ),
    }),
    ...(remove && {
      delete: (ref: Ref, options: CallOptions = {}): Promise<boolean> =>
        one(
          "delete",
          options.signal,
          () => remove.call(store, ref, options),
          (there, counts) => {
            counts.items = there ? 1 : 0;
          },
        ),
    }),
    ...(prefixDigests && {
      prefixDigests: (
        prefixes: readonly string[],
        options: CallOptions = {},
      ): Promise<readonly PrefixDigest[]> =>
        one(
          "prefixDigests",
          options.signal,
          () => prefixDigests.call(store, prefixes, options),
          (digests, counts) => {
            counts.items = digests.length;
          },
        ),
    }),
    ...(dispose && { [Symbol.asyncDispose]: (): Promise<void> => dispose.call(store) }),
  };
}
