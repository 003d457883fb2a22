import { listRefPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refToBytes } from "../ref.js";
import type { BlobStore } from "../store.js";
import { signalOption } from "../stores/arguments.js";

/** Less than 0 when the 32 bytes of `a` at `aAt` come before those of `b`. In JavaScript: refs differ in their first bytes, and a call costs more. */
export function compareRefBytes(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): number {
  for (let i = 0; i < refBytes; i++) {
    const difference = (a[aAt + i] as number) - (b[bAt + i] as number); // both hold a whole ref
    if (difference !== 0) return difference;
  }
  return 0;
}

/** A store's listing with its refs packed, as far ahead as one likes. Its order is checked, and what goes wrong names the store. */
export class RefReader {
  readonly #name: string;
  readonly #pages: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  #bytes: Uint8Array = new Uint8Array(0);
  #ended = false;
  #last: Uint8Array | undefined;

  constructor(
    store: BlobStore,
    name: string,
    options: {
      readonly after?: Ref | undefined;
      readonly signal?: AbortSignal | undefined;
      /** The listing may end after so many. */
      readonly limit?: number;
    } = {},
  ) {
    this.#name = name;
    this.#signal = options.signal;
    this.#last = options.after === undefined ? undefined : refToBytes(options.after);
    const { limit } = options;
    const listing = { ...signalOption(options.signal), ...(limit !== undefined && { limit }) };
    this.#pages = listRefPages(store, options.after, listing)[Symbol.asyncIterator]();
  }

  /** What was read and not skipped. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Reads until there are so many refs, or all that are left. */
  async fill(refs: number): Promise<void> {
    while (this.#bytes.length < refs * refBytes && !this.#ended) {
      const page = await this.#next();
      if (page === undefined) {
        this.#ended = true;
      } else {
        this.#check(page);
        this.#bytes = this.#bytes.length === 0 ? page : Buffer.concat([this.#bytes, page]);
      }
    }
  }

  skip(refs: number): void {
    this.#bytes = this.#bytes.subarray(refs * refBytes);
  }

  /** Ends the listing where it is. */
  async close(): Promise<void> {
    this.#ended = true;
    try {
      await this.#pages.return?.();
    } catch {
      // Nobody wants the rest.
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    try {
      const next = await this.#pages.next();
      this.#signal?.throwIfAborted();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw namedError(error, this.#name, "listing");
    }
  }

  #check(page: Uint8Array): void {
    if (page.length % refBytes !== 0) {
      const message = `${this.#name} listed a page of ${page.length} bytes: refs have ${refBytes} each`;
      throw new BlobError("bad-data", message, { store: this.#name });
    }
    let before = this.#last;
    let beforeAt = 0;
    for (let at = 0; at < page.length; at += refBytes) {
      if (before !== undefined && compareRefBytes(before, beforeAt, page, at) >= 0) {
        const [ref, last] = [at, beforeAt].map((start, i) =>
          refFromBytes((i === 0 ? page : (before as Uint8Array)).subarray(start, start + refBytes)),
        );
        const message = `${this.#name} listed ${ref} after ${last}: refs come in their order, each once`;
        throw new BlobError("unordered", message, { store: this.#name });
      }
      before = page;
      beforeAt = at;
    }
    if (page.length > 0) this.#last = page.slice(-refBytes);
  }
}

/** The error with the name of the store that it came from. */
export function namedError(error: unknown, name: string, what: string): BlobError {
  if (error instanceof BlobError && error.store !== undefined) return error;
  const code = error instanceof BlobError ? error.code : "unavailable";
  const why = error instanceof Error ? error.message : String(error);
  return new BlobError(code, `${what} ${name} failed: ${why}`, { cause: error, store: name });
}

/** The last ref before those that begin with the prefix; undefined when there is none. */
export function refBefore(prefix: string): Ref | undefined {
  const bytes = refToBytes(prefix.padEnd(refBytes * 2, "0") as Ref); // 64 hex digits
  for (let i = refBytes - 1; i >= 0; i--) {
    if (bytes[i] === 0) {
      bytes[i] = 0xff;
    } else {
      (bytes[i] as number)--;
      return refFromBytes(bytes);
    }
  }
  return undefined;
}

/** How many of the first refs begin with the prefix; it looks at no more than `most`. */
export function countBelow(bytes: Uint8Array, prefix: string, most: number): number {
  // The refs are in order and none is before the prefix: the first one beyond ends it.
  const end = refToBytes(prefix.padEnd(refBytes * 2, "f") as Ref); // 64 hex digits
  let low = 0;
  let high = Math.min(most, bytes.length / refBytes);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRefBytes(bytes, middle * refBytes, end, 0) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
