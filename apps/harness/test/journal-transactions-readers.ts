import { Flags, ReadCommitted, Sequencer } from "@x/journal-client/messages";
import { expect, vi } from "vitest";
import type { GazetteCluster } from "../src/servers/index.js";
import type { JournalClient } from "./journal-support.js";
import {
  type Entry,
  entries,
  entriesByGo,
  heldMessages,
  nameOf,
  type ToldEntry,
  tornOf,
} from "./journal-transactions-entries.js";

export interface SeenEntry {
  readonly producer: string;
  readonly entry: Entry;
}

export interface FollowersOptions {
  readonly client: JournalClient;
  readonly journals: readonly string[];
  readonly onProgress?: () => void;
}

/** Follows journals of entries, each with a blocking ReadCommitted from its beginning; what they gave can be compared with what the Go client reads. */
export class Followers implements AsyncDisposable {
  readonly failures: unknown[] = [];
  retries = 0;
  readonly #options: FollowersOptions;
  readonly #end = new AbortController();
  readonly #seen = new Map<string, SeenEntry[]>();
  readonly #readers = new Map<string, ReadCommitted<Entry>>();
  readonly #leaving = new Set<ReadCommitted<Entry>>();
  readonly #following: Promise<void>[];

  constructor(options: FollowersOptions) {
    this.#options = options;
    this.#following = options.journals.map((journal) => this.#follow(journal));
  }

  seen(journal: string): readonly SeenEntry[] {
    return this.#seen.get(journal) ?? [];
  }

  /** Ends the readers, as if their processes had died, and begins others from their checkpoints. */
  replace(): void {
    for (const reader of this.#readers.values()) {
      this.#leaving.add(reader);
      reader.close();
    }
  }

  /**
   * Compares what was given of a journal, the last of which is the transaction "last", with what the Go client reads of it.
   * @returns all that stands in the journal
   */
  async expectAsGo(gazette: GazetteCluster, journal: string): Promise<readonly ToldEntry[]> {
    const seen = this.seen(journal);
    expect(tornOf(seen.map(({ entry }) => entry))).toEqual([]);
    // A broker that has just taken a journal over may say for a moment that it has less of it.
    const byGo = await vi.waitFor(async () => {
      const told = await entriesByGo(gazette, journal);
      expect(told.at(-1)?.message.transaction).toBe("last");
      return told.filter(({ flags }) => flags !== Flags.ACK_TXN);
    }, 30_000);
    expect(seen.map(({ entry }) => nameOf(entry))).toEqual(byGo.map(({ message }) => nameOf(message)));
    return await entriesByGo(gazette, journal, "-uncommitted");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#following);
  }

  async #follow(journal: string): Promise<void> {
    const { client, onProgress } = this.#options;
    const { signal } = this.#end;
    const seen: SeenEntry[] = [];
    this.#seen.set(journal, seen);
    let offset = 0n;
    let sequencer = new Sequencer<Entry>({ buffer: heldMessages });
    const onRetry = (): void => void this.retries++;
    while (!signal.aborted) {
      const request = { journal, offset, block: true };
      const reader = new ReadCommitted(client, request, { ...entries, sequencer, signal, onRetry });
      this.#readers.set(journal, reader);
      for (;;) {
        try {
          const envelope = await reader.next();
          if (envelope === undefined) throw new Error("a reader that waits came to an end");
          seen.push({ producer: envelope.uuid.producer, entry: envelope.message });
        } catch (error) {
          if (signal.aborted) return;
          if (this.#leaving.delete(reader)) break;
          this.failures.push(error);
          return;
        } finally {
          onProgress?.();
        }
      }
      const { offsets, states } = reader.checkpoint();
      offset = offsets.get(journal) ?? offset;
      sequencer = new Sequencer<Entry>({ buffer: heldMessages, offsets, states });
    }
  }
}

/** The names of entries by their producer, in its order. */
export function byProducer(seen: readonly SeenEntry[]): Map<string, string[]> {
  const all = new Map<string, string[]>();
  for (const { producer, entry } of seen) {
    const names = all.get(producer) ?? [];
    all.set(producer, names);
    names.push(nameOf(entry));
  }
  return all;
}
