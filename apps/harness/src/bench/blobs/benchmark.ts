import { requireServer } from "../../servers/index.js";
import type { BenchContext, Benchmark, Report, Row } from "../benchmark.js";
import { profileFlags } from "../topics/systems.js";
import { rowsOf, type Windows } from "./figures.js";
import { type ListingFigures, listingName, listingNotes, listingRows, measureListing } from "./listing.js";
import {
  BENCH,
  DISTANCE_MS,
  fullScale,
  type OtherSide,
  type Part,
  type Peer,
  partsOf,
  quickScale,
  type Scale,
  THREADS,
} from "./plan.js";
import { Sides } from "./sides.js";

/** The whole run takes about five minutes on a quiet machine. */
const LIMIT_MS = 20 * 60_000;

export const blobsBenchmark: Benchmark = {
  name: BENCH,
  about:
    "What blob stores and replicas of them cost, against bobg/bs v0.4.0 and what the machine can do at most.",
  readmes: ["packages/blob-replica/README.md"],
  run: (context) => measureBlobs(context, context.quick ? quickScale : fullScale),
};

export async function measureBlobs(context: BenchContext, scale: Scale): Promise<Report> {
  const notes: string[] = [];
  const missing = (["bs-peer", "toxiproxy", "versitygw"] as const).filter(
    (name) =>
      !requireServer(name, { env: { ...process.env, CI: "" }, onMissing: (line) => notes.push(line) }),
  );
  if (missing.length > 0) return { rows: [], setup: [], notes, failed: true };
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(LIMIT_MS)]);
  const nodeArgs = ["--expose-gc", ...profileFlags(context.profileDirectory)];
  await using sides = await Sides.start({ nodeArgs, signal });
  const rows: Row[] = [];
  let failed = false;
  const attempt = async (name: string, run: () => Promise<void>): Promise<void> => {
    context.say(name);
    try {
      await run();
    } catch (error) {
      signal.throwIfAborted();
      failed = true;
      const text = error instanceof Error ? error.message : String(error);
      context.say(text);
      notes.push(`failed in "${name}": ${text.split("\n", 1)[0]}`);
    }
  };
  const chosen = (name: string): boolean => context.only === undefined || name.includes(context.only);
  for (const part of partsOf(scale).filter(({ name }) => chosen(name))) {
    const windows: Windows = { ours: [], peers: new Map() };
    await attempt(part.name, () =>
      measurePart(part, windows, { sides, count: part.windows ?? scale.windows }),
    );
    // Also of a part that failed: its goals are missed.
    rows.push(...rowsOf(part, windows));
  }
  for (const same of [false, true]) {
    const options = { same, refs: scale.listedRefs, rounds: scale.listings, nodeArgs, signal };
    const name = listingName(options);
    if (!chosen(name)) continue;
    let figures: ListingFigures = { rounds: [], extraBytes: [] };
    await attempt(name, async () => {
      figures = await measureListing(options);
    });
    rows.push(...listingRows(name, figures));
    notes.push(...listingNotes(name, figures));
  }
  return { rows, setup: setupOf(scale), notes, failed };
}

async function measurePart(
  { ours, peers = {} }: Part,
  windows: Windows,
  { sides, count }: { readonly sides: Sides; readonly count: number },
): Promise<void> {
  for (let window = 0; window < count; window++) {
    windows.ours.push(await sides.run(ours));
    for (const [peer, side] of Object.entries(peers) as [Peer, OtherSide][]) {
      const theirs = windows.peers.get(peer) ?? [];
      windows.peers.set(peer, theirs);
      theirs.push(await sides.run(side));
    }
  }
}

function setupOf({ windows, longWindows, largeInMemory, rounds, listedRefs, listings }: Scale): string[] {
  return [
    `Each window is a process of its own, and the sides take turns (${windows} windows each, ${longWindows} on S3 and of catch-ups; ${listings} listings in one process). Before it is timed, ours runs a fifth of the load (of S3, all of it), since V8 compiles what is hot, and then waits 10 ms, so that what needs a turn of the event loop has had one; the Go program is compiled.`,
    "raw limit: of puts and gets in memory and of verified gets one SHA-256 of each blob by node:crypto; of directories one new file for each blob, written and synced by fdatasync, without a rename or a sync of its name; of a batch the same with folders, renames and a sync of each folder, 64 in flight; of the queue a record of 64 bytes appended to one file and synced.",
    "ours, plainly: the same store one blob at a time; for two directories, one of them alone; for a catch-up, `putMany` of the same blobs to an empty store of the same kind.",
    "bobg/bs v0.4.0: its replica, memory store and file store in `servers/bs-peer/bench.go`. Its file store syncs nothing, and none of its stores verifies what it gets. Its memory store sorts its refs for each listing; `stores in order` are stores of ours in its program that have them in order already, as our memory store has.",
    `Blobs in memory: ${largeInMemory} of 1 MiB, ${rounds} times, into new stores each time; puts give bytes that the caller keeps, so that they are copied. What is read from directories is in the page cache.`,
    "What is on disk is removed when all windows are over: ext4 without a journal makes files slowly for minutes after others were removed.",
    `${THREADS} threads: every side of these rows has \`UV_THREADPOOL_SIZE=${THREADS}\`, so that as many syncs wait for the disk together; all else has the 4 threads that Node has by default.`,
    `S3: versitygw by \`@aws-sdk/client-s3\`. It shares the cores with its client, so that one request at a time keeps them busy already and many can gain little; "at ${DISTANCE_MS} ms" answers come that much later, as from a server elsewhere (toxiproxy).`,
    "Catch-up: from the end of the outage until nothing is queued. The queue is on disk; blobs come from a synchronous store in memory for memory, else from a directory.",
    `Union listing: three memory stores of ${listedRefs.toLocaleString("en-US")} refs; memory is the most that the process had beyond the stores, resident or in V8's accounts, in its first listing.`,
  ];
}
