import type { Random } from "../clock.js";
import { JournalError } from "../errors.js";
import type { LabelSet } from "../protocol/label.js";
import type { ListResponse } from "../protocol/responses.js";
import { systemRandom } from "../system.js";

/** The label that says how a journal's messages are framed. */
export const contentTypeLabel = "content-type";

/** Which journal a message belongs to, and how that frames its messages. @throws JournalError "no-journals" */
export type Mapping<M> = (message: M) => { readonly journal: string; readonly contentType: string };

/** What is equal for messages that belong together. Text counts as its UTF-8 bytes. */
export type MappingKey<M> = (message: M) => string | Uint8Array;

/** The journals to choose from, as of now: as `list()` of a WatchedList. The same object as long as nothing has changed. */
export type Partitions = () => ListResponse | undefined;

/** A random journal for each message. */
export function randomMapping<M>(partitions: Partitions, random: Random = systemRandom): Mapping<M> {
  return () => {
    const journals = nonEmpty(partitions());
    return chosen(journals[Math.floor(random.number() * journals.length)]);
  };
}

/**
 * The journal at FNV-1a (32 bits) of the key, modulo their number. A journal more or less moves almost all keys.
 * Chooses as Gazette's Go library does.
 */
export function moduloMapping<M>(key: MappingKey<M>, partitions: Partitions): Mapping<M> {
  return (message) => {
    const journals = nonEmpty(partitions());
    return chosen(journals[fnv1a(key(message)) % journals.length]);
  };
}

/**
 * Highest random weight ("rendezvous", Thaler and Ravishankar 1996) over FNV-1a (32 bits) of the key and of each journal's name: a journal
 * more or less moves only keys that it gets or had. Costs a look at each journal. Chooses as Gazette's Go library does.
 */
export function rendezvousMapping<M>(key: MappingKey<M>, partitions: Partitions): Mapping<M> {
  let last: ListResponse | undefined;
  let hashes = new Uint32Array(0);
  return (message) => {
    const listing = partitions();
    const journals = nonEmpty(listing);
    if (listing !== last) {
      last = listing;
      hashes = Uint32Array.from(journals, ({ spec }) => fnv1a(spec.name));
    }
    const hash = fnv1a(key(message));
    let best = 0;
    let highest = 0;
    for (let index = 0; index < hashes.length; index += 1) {
      const weight = (hash ^ (hashes[index] ?? 0)) >>> 0;
      if (weight > highest) {
        highest = weight;
        best = index;
      }
    }
    return chosen(journals[best]);
  };
}

/** FNV-1a with 32 bits (Fowler, Noll, Vo), unsigned. */
export function fnv1a(key: string | Uint8Array): number {
  const bytes = typeof key === "string" ? Buffer.from(key) : key;
  let hash = 0x811c9dc5;
  for (let index = 0; index < bytes.length; index += 1) {
    hash = Math.imul(hash ^ (bytes[index] ?? 0), 0x01000193);
  }
  return hash >>> 0;
}

/** The value of a label, "" when it is not there; the first when there are several. */
export function labelValue(labels: LabelSet, name: string): string {
  return labels.find((label) => label.name === name)?.value ?? "";
}

type Listed = ListResponse["journals"][number];

function nonEmpty(listing: ListResponse | undefined): readonly Listed[] {
  if (listing === undefined || listing.journals.length === 0) {
    throw new JournalError("no-journals", "there is no journal to map a message to");
  }
  return listing.journals;
}

function chosen(journal: Listed | undefined): ReturnType<Mapping<unknown>> {
  if (journal === undefined) {
    throw new JournalError("no-journals", "the chosen journal is none");
  }
  return { journal: journal.spec.name, contentType: labelValue(journal.spec.labels, contentTypeLabel) };
}
