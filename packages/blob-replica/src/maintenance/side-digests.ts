import { BlobError } from "../errors.js";
import { refBytes, refFromBytes } from "../ref.js";
import type { BlobStore, PrefixDigest } from "../store.js";
import { signalOption } from "../stores/arguments.js";
import {
  checkDigests,
  digestListing,
  digestOfRefs,
  isUnsupported,
  refsPerDigest,
  sameDigest,
} from "./prefix-digests.js";
import { countBelow, namedError, RefReader, refBefore } from "./ref-reader.js";

export interface Side {
  readonly store: BlobStore;
  readonly name: string;
}

/** A listing that does not match the digest, while the store changes. */
const tries = 3;

/** The digests of one store. One that does not compute them is listed once, and they are kept: 1 for 16 to 256 refs. */
export class SideDigests {
  readonly #side: Side;
  readonly #signal: AbortSignal;
  /** Of all refs, when the store was asked whether it has digests. */
  #root: PrefixDigest | undefined;
  #computes: boolean;
  #snapshot: Map<string, PrefixDigest> | undefined;

  constructor(side: Side, signal: AbortSignal) {
    this.#side = side;
    this.#signal = signal;
    this.#computes = side.store.prefixDigests !== undefined;
  }

  /** Whether the store has digests: one that has the method may still say "unsupported". */
  async probe(): Promise<boolean> {
    if (!this.#computes) return false;
    try {
      this.#root = (await this.#ask([""]))[0];
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      this.#computes = false;
    }
    return this.#computes;
  }

  async below(prefixes: readonly string[]): Promise<readonly PrefixDigest[]> {
    const root = this.#root;
    if (root !== undefined && prefixes.length === 1 && prefixes[0] === "") {
      this.#root = undefined;
      return [root];
    }
    if (this.#computes) return await this.#ask(prefixes);
    const { store, name } = this.#side;
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

  async #ask(prefixes: readonly string[]): Promise<readonly PrefixDigest[]> {
    const { store, name } = this.#side;
    let digests: readonly PrefixDigest[];
    try {
      digests = (await store.prefixDigests?.(prefixes, signalOption(this.#signal))) ?? [];
    } catch (error) {
      this.#signal.throwIfAborted();
      throw namedError(error, name, "comparing with");
    }
    this.#signal.throwIfAborted();
    checkDigests(digests, prefixes.length, name);
    return digests;
  }

  /** All refs below the prefix. @throws BlobError "unavailable" when they are not those that the store's digest is of */
  async list(prefix: string, expected: PrefixDigest): Promise<Uint8Array> {
    let said = expected;
    for (let attempt = 1; ; attempt++) {
      const listed = await this.#list(prefix, said.count);
      if (!this.#computes || said.count > refsPerDigest) return listed;
      if (Buffer.compare(digestOfRefs(listed), said.digest) === 0) return listed;
      const now = (await this.below([prefix]))[0] as PrefixDigest; // one was asked for
      if (sameDigest(now, said)) {
        const { name } = this.#side;
        const message = `${name} lists ${listed.length / refBytes} refs that begin with "${prefix}", and its digest is of ${said.count}, or of others`;
        throw new BlobError("unavailable", message, { store: name });
      }
      if (attempt === tries || now.count > refsPerDigest) return listed; // it changes all the time: both may be right
      said = now;
    }
  }

  /** `about`: how many there should be. More are found, too. */
  async #list(prefix: string, about: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let after = refBefore(prefix);
    // One more shows that the listing went beyond the prefix.
    for (const limit = about + 1; ; ) {
      const reader = new RefReader(this.#side.store, this.#side.name, { after, limit, signal: this.#signal });
      let seen = 0;
      let beyond = false;
      try {
        while (!beyond) {
          await reader.fill(1);
          const all = reader.bytes.length / refBytes;
          if (all === 0) break;
          const count = countBelow(reader.bytes, prefix, all);
          if (count > 0) {
            parts.push(reader.bytes.subarray(0, count * refBytes));
            after = refFromBytes(reader.bytes.subarray((count - 1) * refBytes, count * refBytes));
          }
          seen += count;
          beyond = count < all;
          reader.skip(count);
        }
      } finally {
        await reader.close();
      }
      // It ended, at the limit perhaps: then there may be more.
      if (beyond || seen < limit) return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
    }
  }
}
