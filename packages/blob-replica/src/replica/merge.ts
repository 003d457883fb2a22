import { uninitialized } from "../own-bytes.js";
import { type Ref, refBytes } from "../ref.js";
import type { ListOptions } from "../store.js";
import { follow } from "./abort.js";
import { Source } from "./merge-source.js";
import type { NamedStore } from "./options.js";

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
  { signal, reuse = false }: ListOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  const followed = follow(signal);
  const sources = stores.map((store) => new Source(store, after, followed.controller.signal));
  try {
    await filled(sources);
    let live = sources.filter((source) => !source.ended);
    let page = new Page();
    const heads = new Int32Array(live.length);
    const pace = new Pace();
    while (live.length > 0) {
      signal?.throwIfAborted();
      const drained = mergeInto(page, live, heads, pace);
      if (page.full) {
        yield page.bytes;
        if (reuse) page.count = 0;
        else page = new Page();
      }
      if (!drained) continue;
      const slow = filled(live);
      if (slow) await slow;
      if (live.some((source) => source.ended)) live = live.filter((source) => !source.ended);
    }
    signal?.throwIfAborted();
    if (!page.empty) yield page.rest();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    followed.release();
    followed.controller.abort(signal?.aborted ? signal.reason : new Error("nobody waits for this any more"));
    await Promise.all(sources.map((source) => source.close()));
  }
}

/** When each has a ref to look at, or none any more: at once, where undefined. */
function filled(sources: readonly Source[]): Promise<unknown> | undefined {
  let slow: Source[] | undefined;
  for (const source of sources) {
    if (source.fillNow()) continue;
    slow ??= [];
    slow.push(source);
  }
  return slow && Promise.all(slow.map((source) => source.fill()));
}

class Page {
  /** As of `Source`. */
  static readonly kept: Page = new Page();
  readonly bytes: Uint8Array = uninitialized(pageRefs * refBytes);
  readonly words: Int32Array = new Int32Array(this.bytes.buffer);
  count = 0;

  get full(): boolean {
    return this.count === pageRefs;
  }

  get empty(): boolean {
    return this.count === 0;
  }

  add(from: Int32Array, at: number): void {
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

  /** Of a page that is not full: a copy, so that a small listing keeps little memory. */
  rest(): Uint8Array {
    return this.bytes.slice(0, this.count * refBytes);
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
function mergeInto(page: Page, sources: readonly Source[], heads: Int32Array, pace: Pace): boolean {
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
      same = passSame(sources, heads, least) === sources.length - 1;
      drained = someDrained(sources);
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
function leastOf(sources: readonly Source[], heads: Int32Array, among: number): number {
  let least = among;
  for (let i = among + 1; i < sources.length; i++) {
    if (heads[i] === heads[least] && compare(sources[i]!, sources[least]!) < 0) least = i;
  }
  return least;
}

/** Moves the others that are at the same ref past it: how many. */
function passSame(sources: readonly Source[], heads: Int32Array, least: number): number {
  const key = heads[least];
  let count = 0;
  for (let i = 0; i < sources.length; i++) {
    const source = sources[i]!;
    if (i === least || heads[i] !== key || !equal(source, sources[least]!)) continue;
    count++;
    source.at++;
    if (source.at < source.count) heads[i] = source.key();
  }
  return count;
}

function someDrained(sources: readonly Source[]): boolean {
  for (let i = 0; i < sources.length; i++) if (sources[i]!.at === sources[i]!.count) return true;
  return false;
}

/** Whether one has nothing left then. */
function moveAll(sources: readonly Source[], heads: Int32Array, refs: number): boolean {
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
