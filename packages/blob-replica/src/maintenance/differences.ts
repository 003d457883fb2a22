import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes } from "../ref.js";
import type { BlobStore, PrefixDigest } from "../store.js";
import { signalOption } from "../stores/arguments.js";
import {
  checkDigests,
  digestListing,
  digestOfRefs,
  hexDigits,
  refsPerDigest,
  sameDigest,
} from "./prefix-digests.js";
import { compareRefBytes, countBelow, namedError, RefReader, refBefore } from "./ref-reader.js";

/** A ref that `from` has and `to` has not; or up to where all were compared, and how many of `from` that were since the last such step. */
export type Step =
  | { readonly missing: Ref; readonly upTo?: undefined }
  | { readonly upTo: Ref; readonly compared: number; readonly missing?: undefined };

export interface Side {
  readonly store: BlobStore;
  readonly name: string;
}

export interface DifferenceOptions {
  readonly after: Ref | undefined;
  readonly signal: AbortSignal;
  /** Never by digests. */
  readonly listings: boolean;
}

const refsPerStep = 1024;
/** A listing that does not match the digest, while the store changes. */
const tries = 3;

/** In the order of the refs. */
export async function* differences(
  from: Side,
  to: Side,
  options: DifferenceOptions,
): AsyncGenerator<Step, void, undefined> {
  const digests = !options.listings && (from.store.prefixDigests ?? to.store.prefixDigests) !== undefined;
  if (!digests) {
    const { after, signal } = options;
    yield* mergeListings(
      new RefReader(from.store, from.name, { after, signal }),
      new RefReader(to.store, to.name, { after, signal }),
    );
    return;
  }
  const sources = [new Digests(from, options.signal), new Digests(to, options.signal)] as const;
  const roots = [await sources[0].below([""]), await sources[1].below([""])] as const;
  yield* descend(sources, "", [roots[0][0] as PrefixDigest, roots[1][0] as PrefixDigest], options); // one was asked for
}

async function* mergeListings(from: RefReader, to: RefReader): AsyncGenerator<Step, void, undefined> {
  try {
    for (;;) {
      if (from.bytes.length === 0) await from.fill(1);
      const page = from.bytes;
      if (page.length === 0) return;
      const length = Math.min(page.length, refsPerStep * refBytes);
      for (let at = 0; at < length; at += refBytes) {
        let order = -1;
        for (;;) {
          if (to.bytes.length === 0) await to.fill(1);
          const bytes = to.bytes;
          if (bytes.length === 0) break;
          let skip = 0;
          order = 1;
          while (skip < bytes.length && order > 0) {
            order = compareRefBytes(page, at, bytes, skip);
            if (order >= 0) skip += refBytes;
          }
          to.skip(skip / refBytes);
          if (order <= 0) break;
        }
        if (order !== 0) yield { missing: refFromBytes(page.subarray(at, at + refBytes)) };
      }
      from.skip(length / refBytes);
      yield { upTo: refFromBytes(page.subarray(length - refBytes, length)), compared: length / refBytes };
    }
  } finally {
    await from.close();
    await to.close();
  }
}

/** The digests of one store. One that does not compute them is listed once, and they are kept: 1 for 16 to 256 refs. */
class Digests {
  readonly side: Side;
  readonly #signal: AbortSignal;
  #snapshot: Map<string, PrefixDigest> | undefined;

  constructor(side: Side, signal: AbortSignal) {
    this.side = side;
    this.#signal = signal;
  }

  async below(prefixes: readonly string[]): Promise<readonly PrefixDigest[]> {
    const { store, name } = this.side;
    if (store.prefixDigests) {
      let digests: readonly PrefixDigest[];
      try {
        digests = await store.prefixDigests(prefixes, signalOption(this.#signal));
      } catch (error) {
        this.#signal.throwIfAborted();
        throw namedError(error, name, "comparing with");
      }
      this.#signal.throwIfAborted();
      checkDigests(digests, prefixes.length, name);
      return digests;
    }
    if (this.#snapshot === undefined) {
      const snapshot = new Map<string, PrefixDigest>();
      const visit = (prefix: string, digest: PrefixDigest) => snapshot.set(prefix, digest);
      await digestListing(store, name, { signal: this.#signal, visit });
      this.#snapshot = snapshot;
    }
    const digests: PrefixDigest[] = [];
    for (const prefix of prefixes) {
      digests.push(
        this.#snapshot.get(prefix) ?? (await digestListing(store, name, { prefix, signal: this.#signal })),
      );
    }
    return digests;
  }

  /** All refs below the prefix. @throws BlobError "unavailable" when they are not those that the store's digest is of */
  async list(prefix: string, expected: PrefixDigest): Promise<Uint8Array> {
    let said = expected;
    for (let attempt = 1; ; attempt++) {
      const listed = await this.#list(prefix);
      if (!this.side.store.prefixDigests || said.count > refsPerDigest) return listed;
      if (Buffer.compare(digestOfRefs(listed), said.digest) === 0) return listed;
      const now = (await this.below([prefix]))[0] as PrefixDigest; // one was asked for
      if (sameDigest(now, said)) {
        const { name } = this.side;
        const message = `${name} lists ${listed.length / refBytes} refs that begin with "${prefix}", and its digest is of ${said.count}, or of others`;
        throw new BlobError("unavailable", message, { store: name });
      }
      if (attempt === tries || now.count > refsPerDigest) return listed; // it changes all the time: both may be right
      said = now;
    }
  }

  async #list(prefix: string): Promise<Uint8Array> {
    const reader = new RefReader(this.side.store, this.side.name, {
      after: refBefore(prefix),
      signal: this.#signal,
    });
    const parts: Uint8Array[] = [];
    try {
      for (;;) {
        await reader.fill(1);
        const all = reader.bytes.length / refBytes;
        const count = countBelow(reader.bytes, prefix, all);
        parts.push(reader.bytes.subarray(0, count * refBytes));
        reader.skip(count);
        if (count === 0 || count < all)
          return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
      }
    } finally {
      await reader.close();
    }
  }
}

async function* descend(
  sources: readonly [Digests, Digests],
  prefix: string,
  digests: readonly [PrefixDigest, PrefixDigest],
  options: DifferenceOptions,
): AsyncGenerator<Step, void, undefined> {
  const end = prefix.padEnd(refBytes * 2, "f") as Ref; // 64 hex digits
  if (options.after !== undefined && end <= options.after) return;
  const [from, to] = digests;
  if (from.count === 0 || sameDigest(from, to)) {
    yield { upTo: end, compared: from.count };
    return;
  }
  if (Math.max(from.count, to.count) > refsPerDigest) {
    const prefixes = hexDigits.map((digit) => prefix + digit);
    const [froms, tos] = [await sources[0].below(prefixes), await sources[1].below(prefixes)];
    for (const [i, each] of prefixes.entries()) {
      yield* descend(sources, each, [froms[i] as PrefixDigest, tos[i] as PrefixDigest], options); // 16 of each
    }
    return;
  }
  const ours = await sources[0].list(prefix, from);
  const theirs = await sources[1].list(prefix, to);
  let other = 0;
  for (let at = 0; at < ours.length; at += refBytes) {
    let order = -1;
    while (other < theirs.length) {
      order = compareRefBytes(ours, at, theirs, other);
      if (order < 0) break;
      other += refBytes;
      if (order === 0) break;
      order = -1;
    }
    const ref = refFromBytes(ours.subarray(at, at + refBytes));
    if (order !== 0 && (options.after === undefined || ref > options.after)) yield { missing: ref };
  }
  yield { upTo: end, compared: ours.length / refBytes };
}
