import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { BlobError, type BlobErrorCode } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refOf, refToBytes } from "../ref.js";
import type { BlobStore } from "../store.js";

/** A store that one case uses, empty at first. */
export interface BlobStoreFixture {
  readonly store: BlobStore;
  /** The same blobs, as another process would open them. For a store that lasts. The fixture closes what it opened. */
  reopen?(): Promise<BlobStore>;
  /** Spoils the content that is kept for the ref behind the store's back. For stores that look at what they serve. */
  damage?(ref: Ref): Promise<void>;
  close(): Promise<void>;
}

export interface BlobStoreUnderTest {
  open(): Promise<BlobStoreFixture>;
  /** Of the largest blob that is put. Default 64 MiB. */
  readonly largestBytes?: number;
  /** Of the longest listing, and of the largest batch. Default 3,000. */
  readonly manyBlobs?: number;
}

/** One behaviour of a store. `run` rejects if the store lacks it; the runner bounds its time, which is that of hundreds of puts one after the other or of `manyBlobs` of them. */
export interface BlobStoreCase {
  readonly name: string;
  run(underTest: BlobStoreUnderTest): Promise<void>;
}

export function storeCase(
  name: string,
  body: (fixture: BlobStoreFixture, underTest: BlobStoreUnderTest) => Promise<void>,
): BlobStoreCase {
  return {
    name,
    async run(underTest) {
      const fixture = await underTest.open();
      try {
        await body(fixture, underTest);
      } finally {
        await fixture.close();
      }
    },
  };
}

/** Bytes that look random and are the same every time: xorshift32 (Marsaglia, "Xorshift RNGs", 2003). Different seeds give different bytes. */
export function testBlob(seed: number, length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** So many small blobs, and their refs in order. */
export function testBlobs(count: number, length = 24, seed = 1): { blobs: Uint8Array[]; refs: Ref[] } {
  const blobs = Array.from({ length: count }, (_, i) => testBlob(seed * 1_000_003 + i, length));
  return { blobs, refs: blobs.map(refOf).sort() };
}

export async function putAll(store: BlobStore, blobs: readonly Uint8Array[]): Promise<void> {
  for (let at = 0; at < blobs.length; at += 100) {
    await Promise.all(blobs.slice(at, at + 100).map((blob) => store.put(blob)));
  }
}

/** Compares without printing megabytes. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what = "the blob"): void {
  assert.ok(actual instanceof Uint8Array, `${what} is a Uint8Array`);
  assert.equal(actual.length, expected.length, `the length of ${what}`);
  assert.ok(Buffer.compare(actual, expected) === 0, `${what} has the bytes that were put`);
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export function splitPage(page: Uint8Array): Ref[] {
  assert.ok(page.length > 0, "no page is empty");
  assert.equal(page.length % refBytes, 0, "a page holds whole refs");
  return Array.from({ length: page.length / refBytes }, (_, i) =>
    refFromBytes(page.subarray(i * refBytes, (i + 1) * refBytes)),
  );
}

/** The next ref up or down, which nobody has: for places between those that are there. */
export function neighbour(ref: Ref, step: 1 | -1): Ref {
  const bytes = refToBytes(ref);
  for (let i = bytes.length - 1; i >= 0; i--) {
    const value = (bytes[i] as number) + step; // i is inside
    bytes[i] = value;
    if (value >= 0 && value <= 255) break;
  }
  return refFromBytes(bytes);
}

export async function rejectsWith(
  promise: Promise<unknown>,
  code: BlobErrorCode,
  what?: string,
): Promise<BlobError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    assert.ok(
      error instanceof BlobError,
      `${what ?? "it"} fails with a BlobError "${code}", not with ${String(error)}`,
    );
    assert.equal(error.code, code, `${what ?? "the code"}: ${error.message}`);
    assert.ok(error.message.length > 10, "the message is a sentence");
    return error;
  }
  assert.fail(`${what ?? "it"} should fail with "${code}", and gave ${String(value)}`);
}

/** Every call of a store with a signal, run to its end. `ref` is there, `blob` is not. */
export const signalledCalls: readonly {
  readonly name: string;
  run(
    store: BlobStore,
    subject: { readonly ref: Ref; readonly blob: Uint8Array; readonly signal: AbortSignal },
  ): Promise<unknown> | undefined;
}[] = [
  { name: "get", run: (store, { ref, signal }) => store.get(ref, { signal }) },
  { name: "put", run: (store, { blob, signal }) => store.put(blob, { signal }) },
  { name: "listRefs", run: (store, { signal }) => collect(store.listRefs(undefined, { signal })) },
  {
    name: "listRefPages",
    run: (store, { signal }) => store.listRefPages && collect(store.listRefPages(undefined, { signal })),
  },
  {
    name: "getMany",
    run: (store, { ref, signal }) => store.getMany && collect(store.getMany([ref, ref], { signal })),
  },
  { name: "putMany", run: (store, { blob, signal }) => store.putMany?.([blob, blob], { signal }) },
  { name: "has", run: (store, { ref, signal }) => store.has?.(ref, { signal }) },
  { name: "delete", run: (store, { ref, signal }) => store.delete?.(ref, { signal }) },
  {
    name: "stream",
    run: (store, { ref, signal }) => store.stream && collect(store.stream(ref, { signal })),
  },
];

export function assertNoListeners(signal: AbortSignal, what: string): void {
  assert.equal(getEventListeners(signal, "abort").length, 0, `${what} leaves no listener on the signal`);
}
