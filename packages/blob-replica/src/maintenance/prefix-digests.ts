import { createHash } from "node:crypto";
import { BlobError } from "../errors.js";
import { refBytes } from "../ref.js";
import type { BlobStore, CallOptions, PrefixDigest } from "../store.js";
import { countBelow, RefReader, refBefore } from "./ref-reader.js";

/** Up to so many refs are digested, and compared, as they are. */
export const refsPerDigest = 256;
export const hexDigits: readonly string[] = [..."0123456789abcdef"];

const prefixText = /^[0-9a-f]{0,64}$/;
const digestBytes = 32;

/** @throws BlobError "invalid-argument" */
export function checkPrefix(prefix: string): string {
  if (typeof prefix !== "string" || !prefixText.test(prefix)) {
    throw new BlobError("invalid-argument", "a prefix is 0 to 64 lower-case hex digits");
  }
  return prefix;
}

/**
 * `prefixDigests` of every store: its own where it has it, else from its listing, of which it holds a few pages at a time.
 * @throws BlobError "invalid-argument", "unordered", and as the listing
 */
export async function prefixDigests(
  store: BlobStore,
  prefixes: readonly string[],
  options: CallOptions = {},
): Promise<readonly PrefixDigest[]> {
  const { signal } = options;
  signal?.throwIfAborted();
  prefixes.forEach(checkPrefix);
  if (store.prefixDigests) {
    try {
      return await store.prefixDigests(prefixes, options);
    } catch (error) {
      if (!isUnsupported(error)) throw error;
    }
  }
  const digests: PrefixDigest[] = [];
  for (const prefix of prefixes) digests.push(await digestListing(store, "the store", { prefix, signal }));
  return digests;
}

/** The store has the method, and found out that there are none behind it: a server of an older version, for one. */
export function isUnsupported(error: unknown): boolean {
  return error instanceof BlobError && error.code === "unsupported";
}

/** From the listing, in one pass. `visit` is told of the prefix and of those below it for which there are digests on the way. */
export async function digestListing(
  store: BlobStore,
  name: string,
  options: {
    readonly prefix?: string;
    readonly signal?: AbortSignal | undefined;
    readonly visit?: (prefix: string, digest: PrefixDigest) => void;
  } = {},
): Promise<PrefixDigest> {
  const { prefix = "", signal, visit } = options;
  const reader = new RefReader(store, name, { after: refBefore(prefix), signal });
  try {
    return await digestNext(reader, prefix, visit);
  } finally {
    await reader.close();
  }
}

async function digestNext(
  reader: RefReader,
  prefix: string,
  visit: ((prefix: string, digest: PrefixDigest) => void) | undefined,
): Promise<PrefixDigest> {
  await reader.fill(refsPerDigest + 1);
  let count = countBelow(reader.bytes, prefix, refsPerDigest + 1);
  let digest: Uint8Array;
  if (count <= refsPerDigest) {
    digest = digestOfRefs(reader.bytes.subarray(0, count * refBytes));
    reader.skip(count);
  } else {
    count = 0;
    const parts: PrefixDigest[] = [];
    for (const digit of hexDigits) {
      const part = await digestNext(reader, prefix + digit, visit);
      parts.push(part);
      count += part.count;
    }
    digest = digestOfParts(parts);
  }
  const result = { count, digest };
  visit?.(prefix, result);
  return result;
}

/** Of refs that are few enough. */
export function digestOfRefs(refs: Uint8Array): Uint8Array {
  return createHash("sha256").update(Uint8Array.of(0)).update(refs).digest();
}

function digestOfParts(parts: readonly PrefixDigest[]): Uint8Array {
  const bytes = Buffer.alloc(1 + parts.length * (8 + digestBytes));
  bytes[0] = 1;
  for (const [i, { count, digest }] of parts.entries()) {
    const at = 1 + i * (8 + digestBytes);
    bytes.writeBigUInt64BE(BigInt(count), at);
    bytes.set(digest, at + 8);
  }
  return createHash("sha256").update(bytes).digest();
}

export function sameDigest(a: PrefixDigest, b: PrefixDigest): boolean {
  return a.count === b.count && Buffer.compare(a.digest, b.digest) === 0;
}

/** What a store answered, as far as that can be seen. */
export function areDigests(digests: readonly PrefixDigest[], asked: number): boolean {
  return (
    digests.length === asked &&
    digests.every(
      ({ count, digest }) => Number.isSafeInteger(count) && count >= 0 && digest?.length === digestBytes,
    )
  );
}

/** @throws BlobError "bad-data" */
export function checkDigests(digests: readonly PrefixDigest[], asked: number, name: string): void {
  if (!areDigests(digests, asked)) {
    const message = `${name} gave no count and digest of ${digestBytes} bytes for each of ${asked} prefixes`;
    throw new BlobError("bad-data", message, { store: name });
  }
}
