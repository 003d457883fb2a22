import {
  type AckIntent,
  contentTypeLabel,
  Flags,
  jsonLines,
  jsonMessages,
  Publisher,
  ReadCommitted,
  Sequencer,
  writeAckIntents,
} from "@x/journal-client/messages";
import { expect, vi } from "vitest";
import { askGazettePeer, type GazetteCluster } from "../src/servers/index.js";
import { AppendService, type JournalClient, withAppends } from "./journal-support.js";

/** A part of a transaction. */
export interface Entry {
  uuid?: string;
  readonly transaction: string;
  readonly part: number;
  readonly filler?: string;
}

/** An entry, or an acknowledgement, as the Go peer tells of it. */
export interface ToldEntry {
  readonly journal: string;
  readonly uuid: string;
  readonly flags: number;
  readonly message: Entry;
}

/** For readers and publishers of entries. */
export const entries: {
  readonly type: ReturnType<typeof jsonMessages<Entry>>;
  readonly framings: readonly ReturnType<typeof jsonLines<Entry>>[];
} = { type: jsonMessages<Entry>("uuid"), framings: [jsonLines<Entry>()] };

/** Of journals that hold entries. */
export const entryLabels = [{ name: contentTypeLabel, value: "application/x-ndjson" }];

export const toEntries = (journal: string) => () => ({ journal, contentType: "application/x-ndjson" });

export const nameOf = ({ transaction, part }: Entry): string => `${transaction}.${part}`;

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

/** Numbers of messages, and of acknowledgements. */
export interface Counts {
  readonly messages: number;
  readonly acknowledgements: number;
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

/** What a publisher does next. */
export type Phase = "messages" | "acknowledgements";

export interface TransactionsOptions {
  readonly client: JournalClient;
  readonly journals: readonly string[];
  /** At the same time. Default 2. */
  readonly publishers?: number;
}

/** In turn, from the second transaction of a producer on. Long ones are longer than what the readers' sequencers hold. */
const fates = [
  "committed",
  "rolled back by older acknowledgements",
  "long",
  "rolled back by a message on its own",
  "acknowledged twice",
  "never acknowledged",
] as const;

const heldMessages = 16;

/**
 * Publishes transactions over all of some journals without pause, and follows each journal with a blocking ReadCommitted from its beginning,
 * while a test breaks things. Some transactions never commit, in each of the ways that there are. `finish` compares what was
 * acknowledged with what the readers gave, and with what the Go client makes of the same journals.
 */
export class Transactions implements AsyncDisposable {
  readonly failures: unknown[] = [];
  readonly retries: { appends: number; reads: number } = { appends: 0, reads: 0 };
  /** Done by a publisher before the phase. */
  before: ((phase: Phase) => Promise<void>) | undefined;
  readonly #options: TransactionsOptions;
  readonly #service: AppendService;
  readonly #end = new AbortController();
  /** By journal: what has to be read, by its producer; what was read; and up to where brokers told that it is committed. */
  readonly #expected = new Map<string, Map<string, string[]>>();
  readonly #seen = new Map<string, { readonly producer: string; readonly entry: Entry }[]>();
  readonly #toldEnds = new Map<string, bigint>();
  readonly #readers = new Map<string, ReadCommitted<Entry>>();
  readonly #leaving = new Set<ReadCommitted<Entry>>();
  readonly #publishing: Promise<void>[];
  readonly #following: Promise<void>[];
  #committed = 0;
  #written: Counts = { messages: 0, acknowledgements: 0 };
  #stopped = false;
  #onProgress = new Set<() => void>();

  constructor(options: TransactionsOptions) {
    this.#options = options;
    const { client, journals, publishers = 2 } = options;
    const listened = withAppends(client, (stream, { journal }) => ({
      write: (content) => stream.write(content),
      commit: async () => {
        const response = await stream.commit();
        if (response.commit !== undefined) this.#toldEnds.set(journal, response.commit.end);
        return response;
      },
      abort: () => stream.abort(),
    }));
    this.#service = new AppendService(listened, {
      signal: this.#end.signal,
      onEvent: () => {
        this.retries.appends++;
        this.#progress();
      },
    });
    for (const journal of journals) {
      this.#expected.set(journal, new Map());
      this.#seen.set(journal, []);
    }
    this.#following = journals.map((journal) => this.#follow(journal));
    this.#publishing = Array.from({ length: publishers }, async (_, index) => {
      try {
        await this.#publish(index);
      } catch (error) {
        if (!this.#end.signal.aborted) this.failures.push(error);
        this.#progress();
      }
    });
  }

  /** Resolves when so many more transactions were committed. @throws what a publisher or a reader failed with */
  async committed(more: number): Promise<void> {
    const goal = this.#committed + more;
    await this.#until(() => this.#committed >= goal);
  }

  /** Resolves when so many more tries of appends have failed. */
  async failedTries(more: number): Promise<void> {
    const goal = this.retries.appends + more;
    await this.#until(() => this.retries.appends >= goal);
  }

  /** Whether there is something in one of the journals of which nobody was told. Asked by another way than the publishers'. */
  async hasUntold(direct: JournalClient): Promise<boolean> {
    const heads = this.#options.journals.map(async (journal) => {
      const { commit } = await direct.append({ journal }, { signal: AbortSignal.timeout(60_000) });
      return (commit?.end ?? 0n) > (this.#toldEnds.get(journal) ?? 0n);
    });
    return (await Promise.all(heads)).includes(true);
  }

  /** Ends the readers, as if their processes had died, and begins others from their checkpoints. */
  replaceReaders(): void {
    for (const reader of this.#readers.values()) {
      this.#leaving.add(reader);
      reader.close();
    }
  }

  /** Ends the transactions, waits until all is told, judges, and tells how much stands in the journals more often than it was written. */
  async finish(gazette: GazetteCluster): Promise<Counts> {
    this.#stopped = true;
    await Promise.all(this.#publishing);
    expect(this.failures).toEqual([]);
    // Behind it nothing comes: a reader that has it would have any duplicate, too.
    const last = new Publisher<Entry>(this.#service, entries);
    for (const journal of this.#options.journals) {
      await this.#alone(last, journal, { transaction: "last", part: 0 });
    }
    await this.#service.close();
    const found: ToldEntry[] = [];
    for (const journal of this.#options.journals) {
      const seen = this.#seen.get(journal) ?? [];
      await this.#until(() => seen.at(-1)?.entry.transaction === "last");
      expect(groups(seen)).toEqual(this.#expected.get(journal));
      expect(tornOf(seen.map(({ entry }) => entry))).toEqual([]);
      // A broker that has just taken a journal over may say for a moment that it has less of it.
      const byGo = await vi.waitFor(async () => {
        const told = await entriesByGo(gazette, journal);
        expect(told.at(-1)?.message.transaction).toBe("last");
        return told.filter(({ flags }) => flags !== Flags.ACK_TXN);
      }, 30_000);
      expect(seen.map(({ entry }) => nameOf(entry))).toEqual(byGo.map(({ message }) => nameOf(message)));
      found.push(...(await entriesByGo(gazette, journal, "-uncommitted")));
    }
    const acknowledgements = found.filter(({ flags }) => flags === Flags.ACK_TXN).length;
    return {
      messages: found.length - acknowledgements - this.#written.messages,
      acknowledgements: acknowledgements - this.#written.acknowledgements,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#end.abort();
    await Promise.all([...this.#publishing, ...this.#following]);
  }

  async #publish(index: number): Promise<void> {
    const { journals } = this.#options;
    let publisher = new Publisher<Entry>(this.#service, entries);
    let older: readonly AckIntent[] | undefined;
    for (let number = 0; !this.#stopped; number++) {
      const transaction = `${index}-${number}`;
      const fate = older === undefined ? "committed" : (fates[number % fates.length] ?? "committed");
      const parts = fate === "long" ? 3 * heldMessages : 1 + (number % 5);
      await this.before?.("messages");
      const written = new Map<string, string[]>(journals.map((journal) => [journal, []]));
      const appends = Array.from({ length: parts * journals.length }, (_, part) => {
        const journal = journals[part % journals.length] ?? "";
        const entry: Entry = { transaction, part, filler: "x".repeat((37 * part) % 400) };
        written.get(journal)?.push(nameOf(entry));
        this.#wrote({ messages: 1 });
        return publisher.publishUncommitted(toEntries(journal), entry);
      });
      for (const append of appends) {
        const error = await append.err();
        if (error !== undefined) throw error;
      }
      if (fate === "never acknowledged") {
        // Its producer is gone; another begins.
        publisher = new Publisher<Entry>(this.#service, entries);
        older = undefined;
        continue;
      }
      if (fate === "rolled back by a message on its own") {
        for (const journal of journals)
          await this.#alone(publisher, journal, { transaction: `${transaction}-alone`, part: 0 });
        continue;
      }
      await this.before?.("acknowledgements");
      if (fate === "rolled back by older acknowledgements" && older !== undefined) {
        await this.#acknowledge(older);
        continue;
      }
      const intents = publisher.buildAckIntents();
      for (const [journal, names] of written) this.#expect(journal, publisher.producer, names);
      await this.#acknowledge(intents);
      if (fate === "acknowledged twice") await this.#acknowledge(intents);
      older = intents;
      this.#committed++;
      this.#progress();
    }
  }

  async #acknowledge(intents: readonly AckIntent[]): Promise<void> {
    this.#wrote({ acknowledgements: intents.length });
    await writeAckIntents(this.#service, intents);
  }

  #wrote({ messages = 0, acknowledgements = 0 }: Partial<Counts>): void {
    this.#written = {
      messages: this.#written.messages + messages,
      acknowledgements: this.#written.acknowledgements + acknowledgements,
    };
  }

  async #alone(publisher: Publisher<Entry>, journal: string, entry: Entry): Promise<void> {
    this.#expect(journal, publisher.producer, [nameOf(entry)]);
    this.#wrote({ messages: 1 });
    const error = await publisher.publishCommitted(toEntries(journal), entry).err();
    if (error !== undefined) throw error;
  }

  #expect(journal: string, producer: string, names: readonly string[]): void {
    const expected = this.#expected.get(journal) ?? new Map<string, string[]>();
    expected.set(producer, [...(expected.get(producer) ?? []), ...names]);
  }

  async #follow(journal: string): Promise<void> {
    const { client } = this.#options;
    const { signal } = this.#end;
    let offset = 0n;
    let sequencer = new Sequencer<Entry>({ buffer: heldMessages });
    const onRetry = (): void => void this.retries.reads++;
    while (!signal.aborted) {
      const request = { journal, offset, block: true };
      const reader = new ReadCommitted(client, request, { ...entries, sequencer, signal, onRetry });
      this.#readers.set(journal, reader);
      for (;;) {
        try {
          const envelope = await reader.next();
          if (envelope === undefined) throw new Error("a reader that waits came to an end");
          this.#seen.get(journal)?.push({ producer: envelope.uuid.producer, entry: envelope.message });
        } catch (error) {
          if (signal.aborted) return;
          if (this.#leaving.delete(reader)) break;
          this.failures.push(error);
          return;
        } finally {
          this.#progress();
        }
      }
      const { offsets, states } = reader.checkpoint();
      offset = offsets.get(journal) ?? offset;
      sequencer = new Sequencer<Entry>({ buffer: heldMessages, offsets, states });
    }
  }

  async #until(isSo: () => boolean): Promise<void> {
    const late = AbortSignal.timeout(120_000);
    late.addEventListener("abort", () => this.#progress());
    while (!isSo()) {
      if (this.failures.length > 0) throw this.failures[0];
      if (late.aborted) throw new Error(`it is still not so: ${isSo}`);
      await new Promise<void>((resolve) => this.#onProgress.add(resolve));
    }
  }

  #progress(): void {
    const waiting = this.#onProgress;
    this.#onProgress = new Set();
    for (const resolve of waiting) resolve();
  }
}

/** In the order of each producer. */
function groups(
  seen: readonly { readonly producer: string; readonly entry: Entry }[],
): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const { producer, entry } of seen) {
    const names = all.get(producer) ?? [];
    all.set(producer, names);
    names.push(nameOf(entry));
  }
  return all;
}
