import { type Ref, refBytes, refFromBytes } from "../ref.js";
import type { PrefixDigest } from "../store.js";
import { hexDigits, refsPerDigest, sameDigest } from "./prefix-digests.js";
import { compareRefBytes, RefReader } from "./ref-reader.js";
import { type Side, SideDigests } from "./side-digests.js";

/** A ref that `from` has and `to` has not; or up to where all were compared, and how many of `from` that were since the last such step. */
export type Step =
  | { readonly missing: Ref; readonly upTo?: undefined }
  | { readonly upTo: Ref; readonly compared: number; readonly missing?: undefined };

export interface DifferenceOptions {
  readonly after: Ref | undefined;
  readonly signal: AbortSignal;
  /** Never by digests. */
  readonly listings: boolean;
}

const refsPerStep = 1024;
/** Of the prefixes that are few enough to be listed: so many are asked for ahead. */
const listingsAhead = 4;
/** Of those that are not: so many are taken apart with one call, which asks for 16 times as many digests. */
const largeTogether = 16;

/** In the order of the refs. */
export async function* differences(
  from: Side,
  to: Side,
  options: DifferenceOptions,
): AsyncGenerator<Step, void, undefined> {
  const { after, signal, listings } = options;
  const sources = [new SideDigests(from, signal), new SideDigests(to, signal)] as const;
  const digests = !listings && (await both(sources, (source) => source.probe())).includes(true);
  if (!digests) {
    yield* mergeListings(
      new RefReader(from.store, from.name, { after, signal }),
      new RefReader(to.store, to.name, { after, signal }),
    );
    return;
  }
  yield* descend(sources, await nodesOf(sources, [""]), options);
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

/** What both sides have below a prefix. */
interface Node {
  readonly prefix: string;
  readonly from: PrefixDigest;
  readonly to: PrefixDigest;
}

type Sources = readonly [SideDigests, SideDigests];

/** Asks for all of the prefixes at once: over a network it is the number of calls that takes time. */
async function nodesOf(sources: Sources, prefixes: readonly string[]): Promise<readonly Node[]> {
  const [from, to] = await both(sources, (source) => source.below(prefixes));
  return prefixes.map((prefix, i) => {
    return { prefix, from: from[i] as PrefixDigest, to: to[i] as PrefixDigest }; // one for each
  });
}

/** The nodes are in order. Those that differ and are large are taken apart, several of them with one call; then what is left is compared. */
async function* descend(
  sources: Sources,
  nodes: readonly Node[],
  options: DifferenceOptions,
): AsyncGenerator<Step, void, undefined> {
  const { after } = options;
  const left = nodes.filter(({ prefix }) => after === undefined || endOf(prefix) > after);
  for (let at = 0; at < left.length; ) {
    const large: Node[] = [];
    const from = at;
    for (; at < left.length && large.length < largeTogether; at++) {
      const node = left[at] as Node; // inside
      if (kindOf(node) === "large") large.push(node);
    }
    const part = left.slice(from, at);
    if (large.length === 0) {
      yield* compareAll(sources, part, after);
      continue;
    }
    const children = await nodesOf(
      sources,
      large.flatMap(({ prefix }) => hexDigits.map((digit) => prefix + digit)),
    );
    let next = 0;
    const taken = part.flatMap((node) => {
      if (node !== large[next]) return [node];
      next++;
      return children.slice((next - 1) * hexDigits.length, next * hexDigits.length);
    });
    yield* descend(sources, taken, options);
  }
}

/** Of nodes that are the same, or small. */
async function* compareAll(
  sources: Sources,
  nodes: readonly Node[],
  after: Ref | undefined,
): AsyncGenerator<Step, void, undefined> {
  const ahead = new ListingsAhead(
    sources,
    nodes.filter((node) => kindOf(node) === "small"),
  );
  try {
    for (const node of nodes) {
      if (kindOf(node) === "small") yield* compare(node, await ahead.next(), after);
      else yield { upTo: endOf(node.prefix), compared: node.from.count };
    }
  } finally {
    await ahead.end();
  }
}

function kindOf({ from, to }: Node): "same" | "small" | "large" {
  if (from.count === 0 || sameDigest(from, to)) return "same";
  return Math.max(from.count, to.count) > refsPerDigest ? "large" : "small";
}

function* compare(
  { prefix }: Node,
  [ours, theirs]: readonly [Uint8Array, Uint8Array],
  after: Ref | undefined,
): Generator<Step, void, undefined> {
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
    if (order !== 0 && (after === undefined || ref > after)) yield { missing: ref };
  }
  yield { upTo: endOf(prefix), compared: ours.length / refBytes };
}

/** The last ref that begins with the prefix. */
function endOf(prefix: string): Ref {
  return prefix.padEnd(refBytes * 2, "f") as Ref; // 64 hex digits
}

/** The listings of both sides for some prefixes, a few ahead of who asks for them. */
class ListingsAhead {
  readonly #sources: Sources;
  readonly #nodes: readonly Node[];
  readonly #running: Promise<readonly [Uint8Array, Uint8Array]>[] = [];
  #started = 0;

  constructor(sources: Sources, nodes: readonly Node[]) {
    this.#sources = sources;
    this.#nodes = nodes;
  }

  /** Of the next prefix. */
  async next(): Promise<readonly [Uint8Array, Uint8Array]> {
    while (this.#started < this.#nodes.length && this.#running.length < listingsAhead) {
      const { prefix, from, to } = this.#nodes[this.#started++] as Node; // inside
      const [first, second] = this.#sources;
      const listing = both([first, second], (source) => source.list(prefix, source === first ? from : to));
      listing.catch(() => {}); // told to whom it is for
      this.#running.push(listing);
    }
    return await (this.#running.shift() as Promise<readonly [Uint8Array, Uint8Array]>); // one for each prefix
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.#running);
  }
}

/** At the same time. Rejects only when both have ended, with the first's error. */
async function both<Result>(
  sources: Sources,
  work: (source: SideDigests) => Promise<Result>,
): Promise<readonly [Result, Result]> {
  const [first, second] = await Promise.allSettled([work(sources[0]), work(sources[1])]);
  if (first.status === "rejected") throw first.reason;
  if (second.status === "rejected") throw second.reason;
  return [first.value, second.value];
}
