import { expect } from "vitest";
import { AppendRecorder, difference } from "../src/faults/journal-recorder.js";
import type { GazetteCluster } from "../src/servers/index.js";
import {
  AppendService,
  type AppendServiceOptions,
  type JournalClient,
  recorded,
  wholeByGo,
} from "./journal-support.js";

export interface TrafficOptions {
  readonly client: JournalClient;
  /** Where readers read. Default: by `client`. */
  readonly readers?: JournalClient;
  readonly journals: readonly string[];
  readonly service?: AppendServiceOptions;
  /** Of each record; twice as many characters. Default 16. */
  readonly fillerBytes?: number;
  /** Readers go to the stores themselves where they can. Default false. */
  readonly doNotProxy?: boolean;
}

interface Followed {
  readonly chunks: Uint8Array[];
  bytes: number;
  jumps: number;
}

/**
 * Appends to journals without pause by one AppendService, and follows each of them with a blocking RetryReader from its beginning, while a
 * test breaks things. `finish` then compares what was told of the appends, what the readers got, and what the Go client finds in the journals.
 */
export class Traffic implements AsyncDisposable {
  readonly recorder: AppendRecorder = new AppendRecorder();
  readonly failures: unknown[] = [];
  /** Tries that failed, of appends and of reads. */
  readonly retries: { appends: number; reads: number } = { appends: 0, reads: 0 };
  readonly #options: TrafficOptions;
  readonly #service: AppendService;
  readonly #end = new AbortController();
  readonly #committed = new Map<string, number>();
  readonly #followed = new Map<string, Followed>();
  readonly #running: Promise<void>[];
  #stopped = false;
  #onProgress = new Set<() => void>();

  constructor(options: TrafficOptions) {
    this.#options = options;
    const { client, journals, service } = options;
    this.#service = new AppendService(recorded(client, this.recorder), {
      signal: this.#end.signal,
      onEvent: ({ type }) => {
        if (type === "retry") this.retries.appends++;
        this.#progress();
      },
      ...service,
    });
    this.#running = journals.flatMap((journal) => [this.#write(journal), this.#follow(journal)]);
  }

  /** Resolves when so many more appends were committed to each journal (or to one). @throws what an append failed with */
  async committed(more: number, journals: readonly string[] = this.#options.journals): Promise<void> {
    const goals = journals.map((journal) => [journal, (this.#committed.get(journal) ?? 0) + more] as const);
    await this.#until(() => goals.every(([journal, goal]) => (this.#committed.get(journal) ?? 0) >= goal));
  }

  /** Resolves when so many more tries of appends have failed. */
  async failedTries(more: number): Promise<void> {
    const goal = this.retries.appends + more;
    await this.#until(() => this.retries.appends >= goal);
  }

  /** Ends the appends, waits until all are told, and judges. */
  async finish(gazette: GazetteCluster): Promise<void> {
    this.#stopped = true;
    await this.#service.close();
    for (const journal of this.#options.journals) {
      const truth = await wholeByGo(gazette, this.#options.client, journal);
      expect(this.recorder.violations(journal, truth)).toEqual([]);
      const followed = this.#followed.get(journal) as Followed; // of each journal
      await this.#until(() => followed.bytes >= truth.length);
      expect(difference(Buffer.concat(followed.chunks), truth)).toBeUndefined();
      expect(followed.jumps).toBe(0);
      expect(this.recorder.count(journal, "committed")).toBe(this.#committed.get(journal));
    }
    expect(this.failures).toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#end.abort();
    await Promise.all(this.#running);
  }

  async #write(journal: string): Promise<void> {
    const { fillerBytes } = this.#options;
    this.#committed.set(journal, 0);
    const { signal } = this.#end;
    for (let burst = 1; !this.#stopped; burst = (burst % 7) + 1) {
      const bursts = Array.from({ length: burst }, () => {
        const { name, line } = this.recorder.record(journal, fillerBytes);
        const append = this.#service.startAppend({ journal });
        append.writer.write(line);
        append.release();
        return append.err().then((error) => {
          if (error === undefined) this.#committed.set(journal, (this.#committed.get(journal) ?? 0) + 1);
          else if (!signal.aborted) this.failures.push(error);
          this.recorder.told(journal, name, error === undefined ? "committed" : "failed");
          this.#progress();
          return error;
        });
      });
      if ((await Promise.all(bursts)).some((error) => error !== undefined)) return;
    }
  }

  async #follow(journal: string): Promise<void> {
    const { client, readers = client, doNotProxy = false } = this.#options;
    const followed: Followed = { chunks: [], bytes: 0, jumps: 0 };
    this.#followed.set(journal, followed);
    const reader = readers.retryReader(
      { journal, block: true, doNotProxy },
      {
        signal: this.#end.signal,
        onOffsetJump: () => void followed.jumps++,
        onRetry: () => void this.retries.reads++,
      },
    );
    try {
      for await (const chunk of reader) {
        followed.chunks.push(chunk);
        followed.bytes += chunk.length;
        this.#progress();
      }
    } catch (error) {
      if (!this.#end.signal.aborted) this.failures.push(error);
      this.#progress();
    }
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.failures.length > 0) throw this.failures[0];
      await new Promise<void>((resolve) => this.#onProgress.add(resolve));
    }
  }

  #progress(): void {
    const waiting = this.#onProgress;
    this.#onProgress = new Set();
    for (const resolve of waiting) resolve();
  }
}
