import { type Ref, refBytes } from "./ref.js";

/** The refs of pages, one by one: `listRefs` of a store that has pages. */
export function refsOfPages(
  pages: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncIterableIterator<Ref> {
  return new RefsOfPages(pages, signal);
}

/** By hand: a generator takes several times as long for each ref, and there may be millions. */
class RefsOfPages implements AsyncIterableIterator<Ref> {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  #pages: AsyncIterator<Uint8Array> | undefined;
  #text = "";
  #at = 0;
  #over = false;
  /** The calls that wait for a page, one after the other. */
  #turn: Promise<unknown> | undefined;

  constructor(source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Ref, undefined>> {
    const isHere = this.#turn === undefined && this.#at < this.#text.length && !this.#signal?.aborted;
    return isHere ? Promise.resolve({ done: false, value: this.#take() }) : this.#inTurn(() => this.#load());
  }

  return(): Promise<IteratorResult<Ref, undefined>> {
    return this.#inTurn(async () => {
      await this.#end();
      return { done: true, value: undefined };
    });
  }

  #take(): Ref {
    const from = this.#at;
    this.#at += refBytes * 2;
    return this.#text.slice(from, this.#at) as Ref; // a page holds whole refs
  }

  async #load(): Promise<IteratorResult<Ref, undefined>> {
    try {
      for (;;) {
        if (this.#over) return { done: true, value: undefined };
        this.#signal?.throwIfAborted();
        if (this.#at < this.#text.length) return { done: false, value: this.#take() };
        this.#pages ??= this.#source[Symbol.asyncIterator]();
        const { done, value: page } = await this.#pages.next();
        if (done) {
          this.#pages = undefined;
          await this.#end();
        } else {
          this.#text = Buffer.from(page.buffer, page.byteOffset, page.length).toString("hex");
          this.#at = 0;
        }
      }
    } catch (error) {
      await this.#end().catch(() => {});
      throw error;
    }
  }

  async #end(): Promise<void> {
    this.#over = true;
    this.#text = "";
    this.#at = 0;
    const pages = this.#pages;
    this.#pages = undefined;
    await pages?.return?.();
  }

  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.#turn;
    const turn = (async () => {
      await before;
      return await work();
    })();
    const settled = turn.catch(() => {});
    this.#turn = settled;
    try {
      return await turn;
    } finally {
      if (this.#turn === settled) this.#turn = undefined;
    }
  }
}
