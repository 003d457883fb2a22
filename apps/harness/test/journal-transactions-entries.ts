import { contentTypeLabel } from "@x/journal-client/messages";
import { askGazettePeer, type GazetteCluster } from "../src/servers/index.js";
import { contentTypes, type Entry } from "./fixtures/journal-entries.mjs";

export { type Entry, entries } from "./fixtures/journal-entries.mjs";

/** An entry, or an acknowledgement, as the Go peer tells of it. */
export interface ToldEntry {
  readonly journal: string;
  readonly uuid: string;
  readonly flags: number;
  readonly message: Entry;
}

/** How entries are framed. */
export type EntryFraming = keyof typeof contentTypes;

/** Of journals that hold entries. */
export const entryLabels = (
  framing: EntryFraming = "json",
): { readonly name: string; readonly value: string }[] => [
  { name: contentTypeLabel, value: contentTypes[framing] },
];

/** The mapping to a journal. */
export const toEntries =
  (journal: string, framing: EntryFraming = "json") =>
  (): { readonly journal: string; readonly contentType: string } => ({
    journal,
    contentType: contentTypes[framing],
  });

/** What the readers' sequencers hold; transactions that are longer are read a second time. */
export const heldMessages = 16;

export const nameOf = ({ transaction, part, life }: Entry): string =>
  `${transaction}.${part}${life === undefined ? "" : ` by ${life}`}`;

/** What stands in a journal, read by the Go client: as it was written, or what is committed. */
export async function entriesByGo(
  gazette: GazetteCluster,
  journal: string,
  ...flags: readonly "-uncommitted"[]
): Promise<readonly ToldEntry[]> {
  const { endpoint } = gazette.brokers.find(({ running }) => running) ?? gazette;
  const args = ["read-committed", "-journal", journal, ...flags];
  const signal = AbortSignal.timeout(60_000);
  return await askGazettePeer<ToldEntry>(args, { gazette: { endpoint }, signal });
}

/** Each transaction's entries have to stand together: gives those that come again later. */
export function tornOf(names: readonly { readonly transaction: string }[]): string[] {
  const ended = new Set<string>();
  const torn: string[] = [];
  let last: string | undefined;
  for (const { transaction } of names) {
    if (transaction === last) continue;
    if (last !== undefined) ended.add(last);
    if (ended.has(transaction)) torn.push(transaction);
    last = transaction;
  }
  return torn;
}
