import { listRefPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import type { PrefixDigestsResponse } from "../gen/x/blobs/v1/blobs.js";
import { prefixDigests } from "../maintenance/prefix-digests.js";
import { refBytes } from "../ref.js";
import type { BlobStore } from "../store.js";
import { asBuffer, prefixesPerRequest } from "./wire.js";

/** The client counts a server that is silent for long as gone: it hears of it whenever so many refs were read. */
const refsPerBeat = 50_000;

/** @throws BlobError "invalid-argument", and as the listing */
export async function* digestsOf(
  store: BlobStore,
  prefixes: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<PrefixDigestsResponse, void, undefined> {
  if (prefixes.length > prefixesPerRequest) {
    const limit = `at most ${prefixesPerRequest} are allowed`;
    throw new BlobError("invalid-argument", `${prefixes.length} prefixes were asked for at once: ${limit}`);
  }
  const beats = new Beats();
  const work = prefixDigests(beats.over(store), prefixes, { signal }).finally(() => beats.end());
  work.catch(() => {}); // told below
  try {
    while (await beats.next()) yield { digests: [] };
  } finally {
    // Its listing ends with the call: nothing may go on behind it.
    await work.catch(() => {});
  }
  const digests = await work;
  yield { digests: digests.map(({ count, digest }) => ({ count: BigInt(count), digest: asBuffer(digest) })) };
}

/** How often something has happened that nobody has been told of yet. */
class Beats {
  #due = 0;
  #ended = false;
  #wake = () => {};

  /** The store, and a beat for so many refs of its listings. */
  over(store: BlobStore): BlobStore {
    let refs = 0;
    const read = (page: Uint8Array): void => {
      refs += page.length / refBytes;
      if (refs < refsPerBeat) return;
      refs = 0;
      this.#due++;
      this.#wake();
    };
    return {
      get: (ref, options) => store.get(ref, options),
      put: (blob, options) => store.put(blob, options),
      listRefs: (after, options) => store.listRefs(after, options),
      ...(store.prefixDigests && { prefixDigests: store.prefixDigests.bind(store) }),
      async *listRefPages(after, options) {
        for await (const page of listRefPages(store, after, options)) {
          read(page);
          yield page;
        }
      },
    };
  }

  /** Resolves with true at the next beat, and with false when there are no more. */
  async next(): Promise<boolean> {
    while (this.#due === 0) {
      if (this.#ended) return false;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#due--;
    return true;
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }
}
