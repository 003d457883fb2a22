import { type AckIntent, Flags, Publisher, writeAckIntents } from "@x/journal-client/messages";
import { expect } from "vitest";
import type { GazetteCluster } from "../src/servers/index.js";
import { AppendService, type JournalClient, withAppends } from "./journal-support.js";
import {
  type Entry,
  type EntryFraming,
  entries,
  heldMessages,
  nameOf,
  toEntries,
} from "./journal-transactions-entries.js";
import { byProducer, Followers, type SeenEntry } from "./journal-transactions-readers.js";

/** Numbers of messages, and of acknowledgements. */
export interface Counts {
  readonly messages: number;
  readonly acknowledgements: number;
}

/** What a publisher does next. */
export type Phase = "messages" | "acknowledgements";

export interface TransactionsOptions {
  readonly client: JournalClient;
  readonly journals: readonly string[];
  /** At the same time. Default 2. */
  readonly publishers?: number;
  /** Of the journals. Default "json". */
  readonly framing?: EntryFraming;
  /**
   * Told what an append failed with for good; resolves when its publisher shall go on: with a service of its own and under a new name, behind the
   * acknowledgements that it has kept. Default: such a failure is one of the test.
   */
  readonly recover?: (error: unknown) => Promise<void>;
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

/** What of a publisher survives a failure. */
interface Publishing {
  readonly index: number;
  number: number;
  phase: Phase;
  /** The decision that was made last. */
  kept: readonly AckIntent[] | undefined;
}

/**
 * Publishes transactions over all of some journals without pause, and follows each journal with a blocking ReadCommitted from its beginning,
 * while a test breaks things. Some transactions never commit, in each of the ways that there are. `finish` compares what was
 * acknowledged with what the readers gave, and with what the Go client makes of the same journals.
 */
export class Transactions implements AsyncDisposable {
  /** Done by a publisher before the phase. */
  before: ((phase: Phase) => Promise<void>) | undefined;
  /** Done by a publisher when a broker has all of an append but that it shall commit. */
  beforeCommit: ((phase: Phase, journal: string) => Promise<void>) | undefined;
  /** Done when it is just told to. */
  onCommit: ((phase: Phase, journal: string) => void) | undefined;
  readonly #options: TransactionsOptions;
  readonly #followers: Followers;
  readonly #services: AppendService[] = [];
  readonly #end = new AbortController();
  readonly #ended = new Promise<void>((resolve) => {
    this.#end.signal.addEventListener("abort", () => resolve());
  });
  /** By journal: what has to be read, by its producer; and up to where brokers told that it is committed. */
  readonly #expected = new Map<string, Map<string, string[]>>();
  readonly #toldEnds = new Map<string, bigint>();
  /** Messages on their own whose append failed: they may stand there, or not. */
  readonly #doubtful = new Set<string>();
  readonly #failures: unknown[] = [];
  readonly #publishing: Promise<void>[];
  #failedAppends = 0;
  #committed = 0;
  #written: Counts = { messages: 0, acknowledgements: 0 };
  #stopped = false;
  #onProgress = new Set<() => void>();

  constructor(options: TransactionsOptions) {
    this.#options = options;
    const { client, journals, publishers = 2 } = options;
    for (const journal of journals) this.#expected.set(journal, new Map());
    this.#followers = new Followers({ client, journals, onProgress: () => this.#progress() });
    this.#publishing = Array.from({ length: publishers }, async (_, index) => {
      try {
        await this.#publish({ index, number: 0, phase: "messages", kept: undefined });
      } catch (error) {
        if (!this.#end.signal.aborted) this.#failures.push(error);
        this.#progress();
      }
    });
  }

  /** Tries that failed. */
  get retries(): { readonly appends: number; readonly reads: number } {
    return { appends: this.#failedAppends, reads: this.#followers.retries };
  }

  /** Resolves when so many more transactions were committed. @throws what a publisher or a reader failed with */
  async committed(more: number): Promise<void> {
    const goal = this.#committed + more;
    await this.#until(() => this.#committed >= goal);
  }

  /** Resolves when so many more tries of appends have failed. */
  async failedTries(more: number): Promise<void> {
    const goal = this.#failedAppends + more;
    await this.#until(() => this.#failedAppends >= goal);
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
    this.#followers.replace();
  }

  /** Ends the transactions, waits until all is told, judges, and tells how much stands in the journals more often than it was written. */
  async finish(gazette: GazetteCluster): Promise<Counts> {
    this.#stopped = true;
    await Promise.all(this.#publishing);
    expect(this.#failures).toEqual([]);
    // Behind it nothing comes: a reader that has it would have any duplicate, too.
    const service = this.#newService(() => "messages");
    const last = new Publisher<Entry>(service, entries);
    for (const journal of this.#options.journals) {
      await this.#alone(last, journal, { transaction: "last", part: 0 });
    }
    for (const each of this.#services) await each.close();
    let [messages, acknowledgements] = [0, 0];
    for (const journal of this.#options.journals) {
      const seen = this.#followers.seen(journal);
      await this.#until(() => seen.at(-1)?.entry.transaction === "last");
      expect(byProducer(seen)).toEqual(this.#certain(journal, seen));
      for (const { flags } of await this.#followers.expectAsGo(gazette, journal)) {
        if (flags === Flags.ACK_TXN) acknowledgements++;
        else messages++;
      }
    }
    return {
      messages: messages - this.#written.messages,
      acknowledgements: acknowledgements - this.#written.acknowledgements,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#end.abort();
    await this.#followers[Symbol.asyncDispose]();
    await Promise.all(this.#publishing);
  }

  #newService(phase: () => Phase): AppendService {
    const listened = withAppends(this.#options.client, (stream, { journal }) => ({
      write: (content) => stream.write(content),
      commit: async () => {
        await this.#unlessEnded(this.beforeCommit?.(phase(), journal));
        const answer = stream.commit();
        this.onCommit?.(phase(), journal);
        const response = await answer;
        if (response.commit !== undefined) this.#toldEnds.set(journal, response.commit.end);
        return response;
      },
      abort: () => stream.abort(),
    }));
    const service = new AppendService(listened, {
      signal: this.#end.signal,
      onEvent: () => {
        this.#failedAppends++;
        this.#progress();
      },
    });
    this.#services.push(service);
    return service;
  }

  async #publish(state: Publishing): Promise<void> {
    const { recover } = this.#options;
    for (;;) {
      try {
        await this.#publishWith(
          this.#newService(() => state.phase),
          state,
        );
        return;
      } catch (error) {
        if (recover === undefined || this.#end.signal.aborted) throw error;
        await this.#unlessEnded(recover(error));
        state.number++;
      }
    }
  }

  async #publishWith(service: AppendService, state: Publishing): Promise<void> {
    const { journals, framing } = this.#options;
    if (state.kept !== undefined) await this.#acknowledge(service, state.kept);
    let publisher = new Publisher<Entry>(service, entries);
    let older: readonly AckIntent[] | undefined;
    for (; !this.#stopped; state.number++) {
      const { number } = state;
      const transaction = `${state.index}-${number}`;
      const fate = older === undefined ? "committed" : (fates[number % fates.length] ?? "committed");
      const parts = fate === "long" ? 3 * heldMessages : 1 + (number % 5);
      state.phase = "messages";
      await this.#unlessEnded(this.before?.("messages"));
      const written = new Map<string, string[]>(journals.map((journal) => [journal, []]));
      const appends = Array.from({ length: parts * journals.length }, (_, part) => {
        const journal = journals[part % journals.length] ?? "";
        const entry: Entry = { transaction, part, filler: "x".repeat((37 * part) % 400) };
        written.get(journal)?.push(nameOf(entry));
        this.#wrote({ messages: 1 });
        return publisher.publishUncommitted(toEntries(journal, framing), entry);
      });
      for (const append of appends) {
        const error = await append.err();
        if (error !== undefined) throw error;
      }
      if (fate === "never acknowledged") {
        // Its producer is gone; another begins.
        publisher = new Publisher<Entry>(service, entries);
        older = undefined;
        continue;
      }
      if (fate === "rolled back by a message on its own") {
        for (const journal of journals)
          await this.#alone(publisher, journal, { transaction: `${transaction}-alone`, part: 0 });
        continue;
      }
      state.phase = "acknowledgements";
      await this.#unlessEnded(this.before?.("acknowledgements"));
      if (fate === "rolled back by older acknowledgements" && older !== undefined) {
        await this.#acknowledge(service, older);
        continue;
      }
      const intents = publisher.buildAckIntents();
      state.kept = intents;
      for (const [journal, names] of written) this.#expect(journal, publisher.producer, names);
      await this.#acknowledge(service, intents);
      if (fate === "acknowledged twice") await this.#acknowledge(service, intents);
      older = intents;
      this.#committed++;
      this.#progress();
    }
  }

  async #acknowledge(service: AppendService, intents: readonly AckIntent[]): Promise<void> {
    this.#wrote({ acknowledgements: intents.length });
    await writeAckIntents(service, intents);
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
    const error = await publisher.publishCommitted(toEntries(journal, this.#options.framing), entry).err();
    if (error === undefined) return;
    this.#doubtful.add(nameOf(entry));
    throw error;
  }

  #expect(journal: string, producer: string, names: readonly string[]): void {
    const expected = this.#expected.get(journal) ?? new Map<string, string[]>();
    expected.set(producer, [...(expected.get(producer) ?? []), ...names]);
  }

  /** What is expected of a journal, without what is in doubt and not there. */
  #certain(journal: string, seen: readonly SeenEntry[]): Map<string, string[]> {
    const there = new Set(seen.map(({ entry }) => nameOf(entry)));
    const certain = new Map<string, string[]>();
    for (const [producer, names] of this.#expected.get(journal) ?? []) {
      const left = names.filter((name) => there.has(name) || !this.#doubtful.has(name));
      if (left.length > 0) certain.set(producer, left);
    }
    return certain;
  }

  /** Waits for what the test does, but not for that of one that has failed. */
  async #unlessEnded(doing: Promise<void> | undefined): Promise<void> {
    await Promise.race([doing, this.#ended]);
    this.#end.signal.throwIfAborted();
  }

  async #until(isSo: () => boolean): Promise<void> {
    const late = AbortSignal.timeout(120_000);
    late.addEventListener("abort", () => this.#progress());
    while (!isSo()) {
      const [failure] = [...this.#failures, ...this.#followers.failures];
      if (failure !== undefined) throw failure;
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
