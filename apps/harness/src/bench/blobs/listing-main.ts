#!/usr/bin/env node
/**
 * The union listing, in a process of its own: `node --expose-gc listing-main.js REFS ROUNDS SAME`. Fills three memory stores with so many refs each, all (SAME is
 * `true`) or none of them the same, then lists them by turns: our pages with and without `reuse`, our strings, and bobg/bs in a process of its own. Prints `ListingFigures`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type BlobStore, createReplica, memoryStore, type Replica } from "@x/blob-replica";
import { askBsPeer, type BsPeerFigures } from "../../servers/index.js";
import type { ListingFigures, ListingRound } from "./listing.js";

const STORES = 3;
const REF_BYTES = 32;
const REFS_PER_SAMPLE = 2048;
/** After a collection V8 sweeps in the background; who allocates at once waits for that, and with millions of blobs for long. */
const SWEEP_MS = 500;

const [refs = 0, rounds = 0] = process.argv.slice(2, 4).map(Number);
const same = process.argv[4] === "true";

async function fill(store: BlobStore, from: number): Promise<void> {
  for (let i = 0; i < refs; i++) {
    const blob = new Uint8Array(8);
    new DataView(blob.buffer).setFloat64(0, from + i);
    await store.put(blob, { frozen: true });
  }
}

async function listPages(replica: Replica, each?: () => void, reuse = false): Promise<number> {
  let count = 0;
  for await (const page of replica.listRefPages!(undefined, { reuse })) {
    count += page.length / REF_BYTES;
    each?.();
  }
  return count;
}

async function listStrings(replica: Replica, each?: () => void): Promise<number> {
  let count = 0;
  for await (const _ of replica.listRefs()) if (++count % REFS_PER_SAMPLE === 0) each?.();
  return count;
}

/** The most that a listing has beyond what was there before it: of what the process had resident, or of what V8 knows, whichever is more. */
async function extraBytes(list: (each: () => void) => Promise<number>): Promise<number> {
  globalThis.gc?.();
  await sleep(SWEEP_MS);
  const before = process.memoryUsage();
  let most = 0;
  await list(() => {
    const { rss, heapUsed, external } = process.memoryUsage();
    most = Math.max(most, rss - before.rss, heapUsed + external - before.heapUsed - before.external);
  });
  return most;
}

const expected = same ? refs : STORES * refs;

async function nsPerRef(list: () => Promise<number>): Promise<number> {
  globalThis.gc?.();
  await sleep(SWEEP_MS);
  const begin = performance.now();
  const count = await list();
  const ns = (performance.now() - begin) * 1e6;
  if (count !== expected) throw new Error(`${count} of ${expected} refs were listed`);
  return ns / count;
}

async function bsList(flags: readonly string[]): Promise<BsPeerFigures> {
  const layout = ["-stores", String(STORES), "-refs", String(refs), ...(same ? ["-same"] : []), ...flags];
  const [figures] = await askBsPeer<BsPeerFigures>(["bench", "replica-list", ...layout]);
  if (figures === undefined) throw new Error("bs-peer printed no figures");
  return figures;
}

const stores = Array.from({ length: STORES }, () => memoryStore());
for (const [i, store] of stores.entries()) await fill(store, same ? 0 : i * refs);
await using replica = await createReplica({
  sync: stores.map((store, i) => ({ name: `store ${i}`, store })),
});

// First of all: a heap that has grown once stays as it is, and would hide what is measured.
const reusedPages = await extraBytes((each) => listPages(replica, each, true));
const pages = await extraBytes((each) => listPages(replica, each));
const strings = await extraBytes((each) => listStrings(replica, each));
const measured: ListingRound[] = [];
for (let round = 0; round < rounds; round++) {
  const reusedPagesNs = await nsPerRef(() => listPages(replica, undefined, true));
  const pagesNs = await nsPerRef(() => listPages(replica));
  const stringsNs = await nsPerRef(() => listStrings(replica));
  const bs = await bsList([]);
  const sorted = await bsList(["-sorted"]);
  measured.push({
    reusedPagesNs,
    pagesNs,
    stringsNs,
    bsNs: (bs.seconds * 1e9) / bs.ops,
    bsSortedNs: (sorted.seconds * 1e9) / sorted.ops,
    bsComplete: [bs, sorted].every(({ hung, ops }) => hung !== true && ops === expected),
  });
}
const figures: ListingFigures = { rounds: measured, extraBytes: [{ reusedPages, pages, strings }] };
process.stdout.write(`${JSON.stringify(figures)}\n`);
