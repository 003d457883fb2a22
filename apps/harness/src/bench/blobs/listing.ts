/** The rows of the union listing: one process holds the stores, and takes turns with bobg/bs. */
import { fileURLToPath } from "node:url";
import { runProgram } from "../../servers/index.js";
import type { Goal, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { BENCH, BS } from "./plan.js";

export interface ListingRound {
  /** Of a listing of pages with `reuse`, for each ref that it gave. */
  readonly reusedPagesNs: number;
  /** Of pages that are the reader's own. */
  readonly pagesNs: number;
  readonly stringsNs: number;
  /** Over its own memory stores. */
  readonly bsNs: number;
  /** Over stores that have their refs in order already, as ours have. */
  readonly bsSortedNs: number;
  /** bobg/bs gave all the refs that it should, in time. */
  readonly bsComplete: boolean;
}

export interface ListingFigures {
  readonly rounds: readonly ListingRound[];
  /** What the first listings had beyond the stores. Empty: it could not be measured. */
  readonly extraBytes: readonly Readonly<Record<Listing, number>>[];
}

type Listing = "reusedPages" | "pages" | "strings";

export interface ListingOptions {
  readonly same: boolean;
  /** In each of the three stores. */
  readonly refs: number;
  readonly rounds: number;
  readonly nodeArgs: readonly string[];
  readonly signal: AbortSignal;
}

/** Built, also for those who run from the sources: Node cannot run those. */
const program = fileURLToPath(new URL("../../../dist/bench/blobs/listing-main.js", import.meta.url));

export function listingName({ same, refs }: Pick<ListingOptions, "same" | "refs">): string {
  return `union listing of 3 x ${refs.toLocaleString("en-US")} refs, ${same ? "all" : "none"} the same`;
}

export async function measureListing(options: ListingOptions): Promise<ListingFigures> {
  const { same, refs, rounds, nodeArgs, signal } = options;
  const { stdout } = await runProgram(process.execPath, {
    args: [...nodeArgs, program, String(refs), String(rounds), String(same)],
    signal,
  });
  return JSON.parse(stdout.toString("utf8").trimEnd().split("\n").at(-1) ?? "") as ListingFigures; // our own program's
}

export function listingRows(name: string, figures: ListingFigures): readonly Row[] {
  const { rounds, extraBytes } = figures;
  const time = (what: string, ours: keyof ListingRound, theirs: keyof ListingRound, goal?: Goal): Row =>
    toRow({
      bench: BENCH,
      metric: `${name}: ${what}`,
      unit: "ns/ref",
      better: "lower",
      ours: rounds.map((round) => Number(round[ours])),
      peer: BS,
      theirs: rounds.map((round) => Number(round[theirs])),
      ...(goal && { goal }),
    });
  const memory = (of: Listing, what: string): Row =>
    toRow({
      bench: BENCH,
      metric: `${name}: memory of ${what} beyond the stores`,
      unit: "MB",
      better: "lower",
      ours: extraBytes.map((bytes) => bytes[of] / 1e6),
      goal: { text: "<= 32 MB", atMost: 32 },
    });
  return [
    time("pages with `reuse`", "reusedPagesNs", "bsNs", { text: "<= 0.1x bs", atMost: 0.1 }),
    time("pages of the reader's own", "pagesNs", "bsNs", { text: "<= 0.1x bs", atMost: 0.1 }),
    time("strings", "stringsNs", "bsNs", { text: "<= 0.5x bs", atMost: 0.5 }),
    time("pages with `reuse` (bs: stores in order)", "reusedPagesNs", "bsSortedNs"),
    time("pages of the reader's own (bs: stores in order)", "pagesNs", "bsSortedNs"),
    time("strings (bs: stores in order)", "stringsNs", "bsSortedNs"),
    memory("reusedPages", "pages with `reuse`"),
    memory("pages", "pages of the reader's own"),
    memory("strings", "strings"),
  ];
}

/** What a reader has to know about the peer's figures. */
export function listingNotes(name: string, { rounds }: ListingFigures): readonly string[] {
  const incomplete = rounds.filter(({ bsComplete }) => !bsComplete).length;
  if (incomplete === 0) return [];
  return [
    `${name}: bobg/bs lost refs or hung in ${incomplete} of ${rounds.length} windows; its time is of each ref that it did give`,
  ];
}
