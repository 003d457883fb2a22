import { uninitialized } from "../own-bytes.js";
import { type Ref, refBytes, refToBytes } from "../ref.js";
import type { ListOptions } from "../store.js";
import { checkAfter } from "./arguments.js";
import type { RefIndex } from "./ref-index.js";

const refsPerPage = 1024;

/** The refs of an index in order, as pages, or copied to where the reader wants to have them. */
export class IndexPages implements AsyncIterableIterator<Uint8Array> {
  readonly #index: RefIndex;
  readonly #after: Ref | undefined;
  readonly #signal: AbortSignal | undefined;
  /** For all pages, where the reader is done with one when it asks for the next. */
  readonly #page: Uint8Array | undefined;
  /** The last ref that was given, or the one to start after. A copy: pages are the reader's. */
  readonly #bytes: Uint8Array = new Uint8Array(refBytes);
  #last: Uint8Array | undefined;
  #begun = false;
  #over = false;

  constructor(index: RefIndex, after: Ref | undefined, { signal, reuse }: ListOptions) {
    this.#index = index;
    this.#after = after;
    this.#signal = signal;
    if (reuse) this.#page = uninitialized(refsPerPage * refBytes);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#page !== undefined) {
      const count = this.copyInto(this.#page);
      return count === 0 ? this.return() : { done: false, value: this.#page.subarray(0, count * refBytes) };
    }
    const page = this.#step(() => this.#index.pageAfter(this.#last));
    if (page === undefined) return this.return();
    this.#remember(page, page.length - refBytes);
    return { done: false, value: page };
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#over = true;
    return { done: true, value: undefined };
  }

  /** As many of the next ones as there is room for: how many. 0 at the end. @throws as `next` */
  copyInto(into: Uint8Array): number {
    const count = this.#step(() => this.#index.copyAfter(this.#last, into)) ?? 0;
    if (count > 0) this.#remember(into, (count - 1) * refBytes);
    return count;
  }

  #remember(refs: Uint8Array, at: number): void {
    for (let i = 0; i < refBytes; i++) this.#bytes[i] = refs[at + i] as number; // it ends there
    this.#last = this.#bytes;
  }

  /** What is thrown ends it. */
  #step<Result>(read: () => Result): Result | undefined {
    if (this.#over) return undefined;
    try {
      this.#signal?.throwIfAborted();
      if (!this.#begun) {
        const after = checkAfter(this.#after);
        if (after !== undefined) this.#remember(refToBytes(after), 0);
        this.#begun = true;
      }
      return read();
    } catch (error) {
      this.#over = true;
      throw error;
    }
  }
}
