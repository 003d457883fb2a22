import { listRefPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refToBytes } from "../ref.js";
import type { IndexPages } from "../stores/index-pages.js";
import { asMemoryStore, memoryStore } from "../stores/memory.js";
import type { NamedStore } from "./options.js";
import { saying } from "./settings.js";

/** Refs that are looked at together, of each store. */
const windowRefs = 1024;
const words = refBytes / 4;
const signBit = 1 << 31;

/** One store's refs, a window of them in memory. */
export class Source {
  /**
   * Never used: V8 drops what it has compiled for a class when a collection finds no object of it, as between two listings, and then the next
   * one begins anew, which takes as long as some hundred thousand refs.
   */
  static readonly kept: Source = new Source(
    { name: "", store: memoryStore() },
    undefined,
    new AbortController().signal,
  );
  readonly words: Int32Array = new Int32Array(windowRefs * words);
  readonly bytes: Buffer = Buffer.from(this.words.buffer);
  /** The first 4 bytes of each, as numbers of the same order; signed ones, for which V8 needs no memory. */
  readonly keys: Int32Array = new Int32Array(windowRefs);
  at = 0;
  count = 0;
  ended = false;
  readonly #view: DataView = new DataView(this.words.buffer);
  readonly #name: string;
  /** Of a store in memory. */
  readonly #index: IndexPages | undefined;
  readonly #iterator: AsyncIterator<Uint8Array>;
  #page: Uint8Array = new Uint8Array(0);
  #pageAt = 0;
  #next: Promise<IteratorResult<Uint8Array>> | undefined;
  readonly #last: Buffer = Buffer.alloc(refBytes);
  #begun = false;

  constructor({ name, store }: NamedStore, after: Ref | undefined, signal: AbortSignal) {
    this.#name = name;
    if (after !== undefined) {
      this.#last.set(refToBytes(after));
      this.#begun = true;
    }
    this.#index = asMemoryStore(store, "listRefPages")?.listRefPages(after, { signal });
    this.#iterator = this.#index ?? listRefPages(store, after, { signal });
    if (this.#index === undefined) this.#next = this.#ask();
  }

  /** Of the ref that it is at. */
  key(): number {
    return this.keys[this.at]!;
  }

  #ask(): Promise<IteratorResult<Uint8Array>> {
    const next = this.#iterator.next();
    // Looked at later: until then it is nobody's.
    next.catch(() => {});
    return next;
  }

  /**
   * From an index in memory, without a page in between, which would be garbage at once. False when it takes a page.
   * @throws `signal.reason`
   */
  fillNow(): boolean {
    if (this.at < this.count || this.ended) return true;
    if (this.#index === undefined) return false;
    this.at = 0;
    this.count = this.#index.copyInto(this.bytes);
    if (this.count === 0) this.ended = true;
    else this.#check();
    return true;
  }

  /** Until there is a ref to look at, or none any more. */
  async fill(): Promise<void> {
    if (this.at < this.count || this.ended) return;
    while (this.#pageAt === this.#page.length) {
      let result: IteratorResult<Uint8Array>;
      try {
        this.#next ??= this.#ask();
        result = await this.#next;
      } catch (error) {
        const code = error instanceof BlobError ? error.code : "unavailable";
        const message = `store ${this.#name} failed while it listed its refs: ${saying(error)}`;
        throw new BlobError(code, message, { cause: error, store: this.#name });
      }
      if (result.done) {
        this.ended = true;
        return;
      }
      if (result.value.length % refBytes !== 0) {
        const message = `store ${this.#name} listed a page of ${result.value.length} bytes: refs have ${refBytes} each`;
        throw new BlobError("bad-data", message, { store: this.#name });
      }
      this.#page = result.value;
      this.#pageAt = 0;
      this.#next = this.#ask();
    }
    const length = Math.min(this.bytes.length, this.#page.length - this.#pageAt);
    this.bytes.set(this.#page.subarray(this.#pageAt, this.#pageAt + length));
    this.#pageAt += length;
    this.at = 0;
    this.count = length / refBytes;
    this.#check();
  }

  /** Makes the keys. @throws BlobError "unordered" */
  #check(): void {
    const { bytes, keys } = this;
    const view = this.#view;
    let before = this.#begun ? this.#last.readUInt32BE(0) ^ signBit : Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.count; i++) {
      const key = view.getInt32(i * refBytes) ^ signBit;
      keys[i] = key;
      if (key <= before && (key < before || this.#order(i) >= 0)) {
        const start = i * refBytes;
        const ref = refFromBytes(bytes.subarray(start, start + refBytes));
        const last = refFromBytes(i === 0 ? this.#last : bytes.subarray(start - refBytes, start));
        const message = `store ${this.#name} listed ${ref} after ${last}: refs come in their order, each once`;
        throw new BlobError("unordered", message, { store: this.#name });
      }
      before = key;
    }
    const last = (this.count - 1) * refBytes;
    for (let i = 0; i < refBytes; i++) this.#last[i] = bytes[last + i]!;
    this.#begun = true;
  }

  /** Of the ref before to this one. */
  #order(i: number): number {
    const start = i * refBytes;
    const before = i === 0 ? this.#last : this.bytes.subarray(start - refBytes, start);
    return before.compare(this.bytes, start, start + refBytes);
  }

  /** Never rejects. */
  async close(): Promise<void> {
    try {
      await this.#iterator.return?.();
    } catch {
      // It was told to stop.
    }
  }
}
