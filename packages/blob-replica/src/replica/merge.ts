import { listRefPages } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refToBytes } from "../ref.js";
import { uninitialized } from "../uninitialized.js";
import { follow } from "./abort.js";
import type { NamedStore } from "./options.js";
import { saying } from "./settings.js";

/** Refs that are looked at together, of each store. */
const windowRefs = 1024;
const pageRefs = 2048;
/** Refs that are compared in one go where the stores have the same. */
const runRefs = 64;
const words = refBytes / 4;

/**
 * The refs of all the stores, in order, each once: a k-way merge of pages, of which one more per store is on its way. A store that cannot list fails the listing:
 * what only it has would be missing without a word. Nothing of a page that is out of order is given.
 * @throws `signal.reason`; BlobError "unordered", or the code of the store's own error, with the store's name
 */
export async function* unionPages(
  stores: readonly NamedStore[],
  after: Ref | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  const followed = follow(signal);
  const sources = stores.map((store) => new Source(store, after, followed.controller.signal));
  try {
    await Promise.all(sources.map((source) => source.fill()));
    let live = sources.filter((source) => !source.ended);
    let page = new Page();
    const heads = new Uint32Array(live.length);
    const pace = new Pace();
    while (live.length > 0) {
      signal?.throwIfAborted();
      const drained = mergeInto(page, live, heads, pace);
      if (page.full) {
        yield page.take();
        page = new Page();
      }
      if (!drained) continue;
      await Promise.all(live.map((source) => source.fill()));
      live = live.filter((source) => !source.ended);
    }
    signal?.throwIfAborted();
    if (!page.empty) yield page.take();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    followed.release();
    followed.controller.abort(signal?.aborted ? signal.reason : new Error("nobody waits for this any more"));
    await Promise.all(sources.map((source) => source.close()));
  }
}

class Page {
  readonly bytes: Uint8Array = uninitialized(pageRefs * refBytes);
  readonly words: Uint32Array = new Uint32Array(this.bytes.buffer);
  count = 0;

  get full(): boolean {
    return this.count === pageRefs;
  }

  get empty(): boolean {
    return this.count === 0;
  }

  add(from: Uint32Array, at: number): void {
    const to = this.words;
    const start = this.count * words;
    to[start] = from[at]!;
    to[start + 1] = from[at + 1]!;
    to[start + 2] = from[at + 2]!;
    to[start + 3] = from[at + 3]!;
    to[start + 4] = from[at + 4]!;
    to[start + 5] = from[at + 5]!;
    to[start + 6] = from[at + 6]!;
    to[start + 7] = from[at + 7]!;
    this.count++;
  }

  take(): Uint8Array {
    return this.full ? this.bytes : this.bytes.slice(0, this.count * refBytes);
  }
}

/** When to look for a run: seldom, where the stores differ often. */
class Pace {
  #skip = 0;
  #step = 1;

  due(): boolean {
    if (this.#skip === 0) return true;
    this.#skip--;
    return false;
  }

  tried(found: boolean): void {
    this.#step = found ? 1 : Math.min(runRefs, this.#step * 2);
    this.#skip = found ? 0 : this.#step;
  }
}

/**
 * Until the page is full, or one of the sources has nothing left here: then true. `heads` has room for a key of each source: the keys that they are at, side by
 * side, so that choosing the least looks at nothing else.
 */
function mergeInto(page: Page, sources: readonly Source[], heads: Uint32Array, pace: Pace): boolean {
  const first = sources[0]!;
  if (sources.length === 1) return copyRun(page, first, first.count - first.at);
  for (let i = 0; i < sources.length; i++) heads[i] = sources[i]!.key();
  let same = false;
  for (;;) {
    if (page.full) return false;
    if (same && pace.due()) {
      const run = sameRun(page, sources);
      pace.tried(run > 0);
      if (run > 0) {
        if (moveAll(sources, heads, run)) return true;
        continue;
      }
    }
    let least = 0;
    let leastKey = heads[0]!;
    let tied = false;
    for (let i = 1; i < sources.length; i++) {
      const key = heads[i]!;
      if (key < leastKey) {
        least = i;
        leastKey = key;
        tied = false;
      } else if (key === leastKey) {
        tied = true;
      }
    }
    let drained = false;
    if (tied) {
      least = leastOf(sources, heads, least);
      const others = passSame(sources, heads, least);
      same = others.count === sources.length - 1;
      drained = others.drained;
    } else {
      same = false;
    }
    const source = sources[least]!;
    page.add(source.words, source.at * words);
    source.at++;
    if (drained || source.at === source.count) return true;
    heads[least] = source.key();
  }
}

/** Of those with the least key, which is that of `among`, the one with the least ref. */
function leastOf(sources: readonly Source[], heads: Uint32Array, among: number): number {
  let least = among;
  for (let i = among + 1; i < sources.length; i++) {
    if (heads[i] === heads[least] && compare(sources[i]!, sources[least]!) < 0) least = i;
  }
  return least;
}

/** Moves the others that are at the same ref past it: how many, and whether one has nothing left then. */
function passSame(
  sources: readonly Source[],
  heads: Uint32Array,
  least: number,
): { readonly count: number; readonly drained: boolean } {
  const key = heads[least];
  let count = 0;
  let drained = false;
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!;
    if (i === least || heads[i] !== key || !equal(source, sources[least]!)) continue;
    count++;
    source.at++;
    if (source.at === source.count) drained = true;
    else heads[i] = source.key();
  }
  return { count, drained };
}

/** Whether one has nothing left then. */
function moveAll(sources: readonly Source[], heads: Uint32Array, refs: number): boolean {
  let drained = false;
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!;
    source.at += refs;
    if (source.at === source.count) drained = true;
    else heads[i] = source.key();
  }
  return drained;
}

function copyRun(page: Page, source: Source, most: number): boolean {
  const run = Math.min(most, pageRefs - page.count);
  page.words.set(source.words.subarray(source.at * words, (source.at + run) * words), page.count * words);
  page.count += run;
  source.at += run;
  return source.at === source.count;
}

/** How many refs from here on are the same in all sources, in whole runs; they are in the page then. */
function sameRun(page: Page, sources: readonly Source[]): number {
  const first = sources[0]!;
  if (pageRefs - page.count < runRefs) return 0;
  for (const source of sources) if (source.count - source.at < runRefs) return 0;
  const from = first.at * refBytes;
  const length = runRefs * refBytes;
  for (let i = 1; i < sources.length; i++) {
    const other = sources[i]!;
    const start = other.at * refBytes;
    if (first.bytes.compare(other.bytes, start, start + length, from, from + length) !== 0) return 0;
  }
  page.words.set(first.words.subarray(first.at * words, (first.at + runRefs) * words), page.count * words);
  page.count += runRefs;
  return runRefs;
}

function equal(a: Source, b: Source): boolean {
  const inA = a.at * words;
  const inB = b.at * words;
  for (let i = 0; i < words; i++) if (a.words[inA + i] !== b.words[inB + i]) return false;
  return true;
}

/** Of the refs that they are at, when their keys are equal. */
function compare(a: Source, b: Source): number {
  if (equal(a, b)) return 0;
  const inA = a.at * refBytes;
  const inB = b.at * refBytes;
  return a.bytes.compare(b.bytes, inB, inB + refBytes, inA, inA + refBytes);
}

/** One store's refs, a window of them in memory. */
class Source {
  readonly words: Uint32Array = new Uint32Array(windowRefs * words);
  readonly bytes: Buffer = Buffer.from(this.words.buffer);
  /** The first 4 bytes of each, as numbers of the same order. */
  readonly keys: Uint32Array = new Uint32Array(windowRefs);
  at = 0;
  count = 0;
  ended = false;
  readonly #view: DataView = new DataView(this.words.buffer);
  readonly #name: string;
  readonly #iterator: AsyncIterator<Uint8Array>;
  #page: Uint8Array = new Uint8Array(0);
  #pageAt = 0;
  #next: Promise<IteratorResult<Uint8Array>>;
  readonly #last: Buffer = Buffer.alloc(refBytes);
  #begun = false;

  constructor({ name, store }: NamedStore, after: Ref | undefined, signal: AbortSignal) {
    this.#name = name;
    if (after !== undefined) {
      this.#last.set(refToBytes(after));
      this.#begun = true;
    }
    this.#iterator = listRefPages(store, after, { signal });
    this.#next = this.#ask();
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

  /** Until there is a ref to look at, or none any more. */
  async fill(): Promise<void> {
    if (this.at < this.count || this.ended) return;
    while (this.#pageAt === this.#page.length) {
      let result: IteratorResult<Uint8Array>;
      try {
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
    let before = this.#begun ? this.#last.readUInt32BE(0) : -1;
    for (let i = 0; i < this.count; i++) {
      const key = view.getUint32(i * refBytes);
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
    this.#last.set(bytes.subarray((this.count - 1) * refBytes, this.count * refBytes));
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
