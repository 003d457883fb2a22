import type { Ref } from "./ref.js";

export interface CallOptions {
  readonly signal?: AbortSignal;
}

export interface GetOptions extends CallOptions {
  /** The caller will never change the bytes, so that a store which keeps them in memory can give its own. Without it they are copied. Default false. */
  readonly frozen?: boolean;
}

export interface PutOptions extends CallOptions {
  /** The blob's ref, when the caller has computed it: the store does not do it again. A wrong one damages the store. */
  readonly ref?: Ref;
  /** The caller will never change the bytes again, and the store may keep them. Without it a store that keeps bytes copies them. Default false. */
  readonly frozen?: boolean;
}

export interface PutResult {
  readonly ref: Ref;
  /** False when the store had the blob before. */
  readonly added: boolean;
}

export interface ListOptions extends CallOptions {
  /** The caller wants no more refs than these: the listing may end there, and need not. For those that come over a network. */
  readonly limit?: number;
  /** Of pages: the caller is done with each when it asks for the next, which may come in the same memory. Default false: a page is the caller's own. */
  readonly reuse?: boolean;
}

/** Of `getMany`: one for each ref that was asked for, as they come; a ref that was asked for twice comes twice. `blob` tells the two apart. */
export type GetManyResult =
  | { readonly ref: Ref; readonly blob: Uint8Array; readonly error?: undefined }
  | { readonly ref: Ref; readonly error: unknown; readonly blob?: undefined };

/** Of `putMany`: one for each blob, in their order. `added` tells the two apart. */
export type PutManyResult =
  | (PutResult & { readonly error?: undefined })
  | { readonly ref: Ref; readonly error: unknown; readonly added?: undefined };

/** What a store has below a prefix: see `prefixDigests`. */
export interface PrefixDigest {
  readonly count: number;
  /** 32 bytes. */
  readonly digest: Uint8Array;
}

/**
 * Blobs of 0 bytes and more by the SHA-256 of their content. Three methods make a store; the others are there when a store is better at them than the
 * functions of the same name, which work with every store.
 *
 * Every call ends with `signal.reason` itself when its signal is aborted, and then nothing of it still runs. Errors are BlobErrors.
 */
export interface BlobStore {
  /**
   * What `get`, `getMany` and `stream` give is the content of its ref, whatever happened to it: the store has hashed it, and everything else ends as "corrupt". Who
   * reads from such a store does not hash it again. Default false.
   */
  readonly verified?: boolean;
  /** The caller owns the bytes, unless they are `frozen`. @throws BlobError "not-found", "corrupt" where the store looks, "unavailable", "refused" */
  get(ref: Ref, options?: GetOptions): Promise<Uint8Array>;
  /**
   * Resolves when the store has the blob as durably as it ever will. Putting what is there is no error; what is there and is damaged is replaced.
   * @throws BlobError "unavailable", "refused", "full"
   */
  put(blob: Uint8Array, options?: PutOptions): Promise<PutResult>;
  /**
   * The refs strictly after `after` (all, without it), in their order, each once. Those that were there from the call to its end are among them; those that
   * came or went meanwhile may be.
   */
  listRefs(after?: Ref, options?: CallOptions): AsyncIterable<Ref>;

  /** As `listRefs`, packed: each page holds refs of 32 bytes, one after the other. No page is empty. */
  listRefPages?(after?: Ref, options?: ListOptions): AsyncIterable<Uint8Array>;
  getMany?(refs: readonly Ref[], options?: GetOptions): AsyncIterable<GetManyResult>;
  putMany?(
    blobs: readonly Uint8Array[],
    options?: CallOptions & { readonly refs?: readonly Ref[]; readonly frozen?: boolean },
  ): Promise<readonly PutManyResult[]>;
  has?(ref: Ref, options?: CallOptions): Promise<boolean>;
  /** False when there was none. */
  delete?(ref: Ref, options?: CallOptions): Promise<boolean>;
  /** The content in pieces, for blobs that are large. @throws BlobError as `get`, also in the middle */
  stream?(ref: Ref, options?: CallOptions): AsyncIterable<Uint8Array>;
  /**
   * Of each prefix (0 to 64 lower-case hex digits), in their order: how many refs begin with it, and their digest, so that `sync` lists what differs only. For
   * stores that others list over a network. Of up to 256 refs the digest is the SHA-256 of a byte 0 and the refs, 32 bytes each, in their order; of more it is that
   * of a byte 1 and, for each of the 16 prefixes that are a digit longer, count (8 bytes, big endian) and digest. The function of the same name computes it
   * for every store. @throws BlobError "unsupported" where it turns out that there are none: who wants to know lists
   */
  prefixDigests?(prefixes: readonly string[], options?: CallOptions): Promise<readonly PrefixDigest[]>;
  [Symbol.asyncDispose]?(): Promise<void>;
}
