import { backoffMs, sleep } from "../backoff.js";
import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import type { Clock, Random } from "../clock.js";
import { isJournalError } from "../errors.js";
import type { Header } from "../protocol/header.js";
import type { LabelSelector } from "../protocol/label.js";
import { checkListRequest, listSelector } from "../protocol/request-rules.js";
import type { ListRequest } from "../protocol/requests.js";
import type { ListResponse } from "../protocol/responses.js";
import { systemClock, systemRandom } from "../system.js";
import { rememberRoutes } from "./list-journals.js";
import { ListUpdates } from "./list-updates.js";
import { readListing } from "./read-list-response.js";

export interface WatchedListOptions {
  /** Ends the watch. */
  readonly signal?: AbortSignal;
  /** Told of each listing and error; may be shared with other lists. Default: one of its own. */
  readonly updates?: ListUpdates;
  readonly clock?: Clock;
  readonly random?: Random;
}

/**
 * The journals of a selector, kept up to date: begins to watch at once, and begins again (after 50 ms, later up to 5 s) when the watch ends, going
 * on behind the revision that it has. Journals' routes are remembered.
 *
 * As an async iterable it gives the latest listing whenever there is a new one: the first at once if it is there, and one for all that came
 * while nobody looked. Several may iterate; leaving an iteration does not end the watch. An iteration ends when the list is disposed of,
 * and throws `signal.reason` when it was aborted, or the error that makes watching on useless (JournalError "closed").
 */
export class WatchedList implements AsyncIterable<ListResponse>, AsyncDisposable {
  readonly updates: ListUpdates;
  readonly #client: RoutedJournalClient;
  readonly #selector: LabelSelector;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #caller: AbortSignal | undefined;
  readonly #ending = new AbortController();
  readonly #onAbort = (): void => this.#ending.abort(this.#caller?.reason);
  readonly #running: Promise<void>;
  #latest: ListResponse | undefined;
  #resume: Header | undefined;
  /** How many listings came. */
  #version = 0;
  #end: { readonly reason: unknown } | "disposed" | undefined;
  #changed = new Set<() => void>();

  /**
   * @param request its `watchResume` skips what is not newer; `watch` is of no meaning
   * @throws JournalError "invalid-argument"
   */
  constructor(client: RoutedJournalClient, request: ListRequest = {}, options: WatchedListOptions = {}) {
    const { signal, updates = new ListUpdates(), clock = systemClock, random = systemRandom } = options;
    checkListRequest(request);
    this.updates = updates;
    this.#client = client;
    this.#selector = listSelector(request);
    this.#resume = request.watchResume;
    this.#clock = clock;
    this.#random = random;
    this.#caller = signal;
    if (signal?.aborted) this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#running = this.#run();
  }

  /** The latest listing; undefined when there was none yet. */
  list(): ListResponse | undefined {
    return this.#latest;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ListResponse, void> {
    let seen = 0;
    for (;;) {
      while (seen === this.#version && this.#end === undefined) {
        await new Promise<void>((resolve) => this.#changed.add(resolve));
      }
      if (this.#end === "disposed") return;
      if (this.#end !== undefined) throw this.#end.reason;
      seen = this.#version;
      yield this.#latest!;
    }
  }

  /** Ends the watch; resolves when nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end ??= "disposed";
    this.#ending.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    let attempt = 0;
    try {
      for (;;) {
        signal.throwIfAborted();
        const before = this.#version;
        let failure: { readonly error: unknown } | undefined;
        try {
          await this.#watch(signal);
        } catch (error) {
          signal.throwIfAborted();
          if (isJournalError(error, "closed")) throw error;
          failure = { error };
        }
        // A broker that shuts down ends the stream well: no reason to be slow.
        if (failure === undefined || this.#version > before) attempt = 0;
        if (failure !== undefined) this.updates.notify({ list: this, error: failure.error });
        await sleep(this.#clock, backoffMs(attempt++, this.#random), signal);
      }
    } catch (reason) {
      this.#end ??= { reason };
    } finally {
      this.#caller?.removeEventListener("abort", this.#onAbort);
      this.#wake();
    }
  }

  /** One RPC, until the broker ends it. */
  async #watch(signal: AbortSignal): Promise<void> {
    const resume = this.#resume;
    const request: ListRequest = {
      selector: this.#selector,
      watch: true,
      ...(resume === undefined ? {} : { watchResume: resume }),
    };
    const stream = this.#client.openList(request, { signal })[Symbol.asyncIterator]();
    try {
      for (;;) {
        const known = this.#resume;
        const listing = await readListing(
          stream,
          known === undefined ? request : { ...request, watchResume: known },
        );
        if (listing === undefined) return;
        this.#latest = listing;
        this.#resume = listing.header;
        this.#version++;
        rememberRoutes(this.#client, listing);
        this.updates.notify({ list: this, error: undefined });
        this.#wake();
      }
    } finally {
      await stream.return?.();
    }
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const resolve of changed) resolve();
  }
}
