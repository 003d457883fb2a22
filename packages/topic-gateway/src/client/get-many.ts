import { murmur3Mod } from "@x/space";
import { TopicError } from "../errors.js";
import { MAX_KEYS } from "../protocol/buffer-api.js";
import { HASHES } from "../protocol/hash-range.js";
import { MAX_TICKS } from "../protocol/message-id.js";
import { checkKey, type TopicName } from "../protocol/names.js";
import type { SegmentView } from "../topics/state.js";
import { ArchiveSearch } from "./archive-search.js";
import { askPlace } from "./ask-place.js";
import type { ClientContext } from "./context.js";
import { type Found, KeySearch } from "./key-search.js";
import { type Place, Places } from "./places.js";

/** What became of one key: the newest message, undefined when there is none, or the reason why it is not known. */
export type KeyAnswer =
  | { readonly key: string; readonly found: Found | undefined; readonly error?: undefined }
  | { readonly key: string; readonly found?: undefined; readonly error: TopicError };

export interface GetManyOptions {
  /** 100 ns since 1582-10-15: older messages do not count. */
  readonly fromTime: bigint;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Looks for the newest message of each key. Answers come as they are known, one for each different key: a buffer that does not answer
 * delays nobody but its own keys, and when nobody answers for them in time, they are named with a TopicError "unavailable".
 *
 * @throws TopicError "invalid-key", "invalid-argument" (too many keys), "topic-not-found", or `signal.reason`
 */
export async function* getMany(
  context: ClientContext,
  name: TopicName,
  keys: readonly string[],
  options: GetManyOptions,
): AsyncGenerator<KeyAnswer, void, undefined> {
  options.signal?.throwIfAborted();
  if (keys.length > MAX_KEYS) {
    throw new TopicError(
      "invalid-argument",
      `at most ${MAX_KEYS} keys can be asked for at once, not ${keys.length}`,
    );
  }
  for (const key of keys) checkKey(key);
  if (!context.cache.state.topic(name))
    throw new TopicError("topic-not-found", `there is no topic "${name}"`);
  const search = new Search(context, name, options);
  const onAbort = (): void => search.stop(options.signal?.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    search.start([...new Set(keys)]);
    for await (const answer of search.answers()) {
      // What the abort itself has failed is no answer.
      options.signal?.throwIfAborted();
      yield answer;
    }
    options.signal?.throwIfAborted();
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
    await search.end();
  }
}

class Search {
  readonly #context: ClientContext;
  readonly #name: TopicName;
  readonly #fromTime: bigint;
  readonly #deadlineMs: number;
  readonly #stopped = new AbortController();
  /** What the search stops with when its time is over. */
  readonly #overdue = new TopicError("unavailable", "nobody answered for the key in time");
  readonly #uncut: () => void;
  readonly #running = new Set<Promise<void>>();
  readonly #answers: KeyAnswer[] = [];
  #open = 0;
  #wake: () => void = () => {};
  /** Keys whose next place is not known yet: those of one turn are asked for together. */
  #again: KeySearch[] = [];
  readonly #archive: ArchiveSearch;

  constructor(context: ClientContext, name: TopicName, { fromTime, timeoutMs }: GetManyOptions) {
    this.#context = context;
    this.#archive = new ArchiveSearch(context.archive, this.#stopped.signal);
    this.#name = name;
    // The wire has no others, and no message has.
    this.#fromTime = fromTime < 0n ? 0n : fromTime > MAX_TICKS ? MAX_TICKS + 1n : fromTime;
    const { clock } = context.runtime;
    this.#deadlineMs = clock.monotonicMs() + timeoutMs;
    this.#uncut = clock.setTimer(timeoutMs, () => this.stop(this.#overdue));
  }

  start(keys: readonly string[]): void {
    this.#open = keys.length;
    this.#ask(keys.map((key) => new KeySearch(key, murmur3Mod(key, HASHES - 1), this.#fromTime)));
  }

  async *answers(): AsyncGenerator<KeyAnswer, void, undefined> {
    for (;;) {
      const ready = this.#answers.splice(0);
      yield* ready;
      if (this.#answers.length > 0) continue;
      if (this.#open === 0) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Nothing is asked any more, also if nobody comes to take the answers. */
  stop(reason: unknown): void {
    this.#uncut();
    this.#stopped.abort(reason);
  }

  async end(): Promise<void> {
    this.stop(new TopicError("closed", "nobody waits for the answer any more"));
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }

  #settle(answer: KeyAnswer): void {
    this.#open -= 1;
    this.#answers.push(answer);
    this.#wake();
  }

  #fail(search: KeySearch, cause: unknown): void {
    const { key } = search;
    if (cause === this.#overdue) this.#settle({ key, error: this.#late(search) });
    else if (isAnswer(cause)) this.#settle({ key, error: cause });
    else {
      const message = `nobody could tell of the key ${JSON.stringify(key)}`;
      this.#settle({ key, error: new TopicError("unavailable", message, { cause }) });
    }
  }

  /** Names who should have answered. */
  #late(search: KeySearch, cause?: unknown): TopicError {
    const { cache, connections } = this.#context;
    const topic = cache.state.topic(this.#name);
    const address = topic && search.next(topic)?.server?.address;
    if (address === undefined) return new TopicError("unavailable", this.#overdue.message, { cause });
    const unwell = connections.unwell(address);
    const why = unwell === undefined ? "" : `: it is ${unwell}`;
    return new TopicError(
      "unavailable",
      `the buffer at ${address}, which has the key, did not answer in time${why}`,
      { cause },
    );
  }

  #run(task: () => Promise<void>): void {
    const running: Promise<void> = task().finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Goes on with a key as soon as this turn is over, together with all others that come to that point in it. */
  #goOn(search: KeySearch): void {
    this.#again.push(search);
    if (this.#again.length > 1) return;
    this.#run(async () => {
      await Promise.resolve();
      this.#ask(this.#again.splice(0));
    });
  }

  /** Settles the searches that are over, and asks those who have the next segments of the others. */
  #ask(searches: readonly KeySearch[]): void {
    const topic = this.#context.cache.state.topic(this.#name);
    const served: { readonly search: KeySearch; readonly segment: SegmentView }[] = [];
    const archived = new Map<SegmentView, KeySearch[]>();
    for (const search of searches) {
      if (!topic) {
        this.#fail(search, new TopicError("topic-not-found", `the topic "${this.#name}" was deleted`));
        continue;
      }
      const segment = search.next(topic);
      if (!segment) this.#settle({ key: search.key, found: search.result });
      else if (segment.record?.state === "archived") {
        archived.set(segment, [...(archived.get(segment) ?? []), search]);
      } else served.push({ search, segment });
    }
    if (served.length > 0) this.#run(() => this.#askServers(served));
    for (const [segment, wanted] of archived) this.#run(() => this.#askArchive(segment, wanted));
  }

  async #askServers(
    wanted: readonly { readonly search: KeySearch; readonly segment: SegmentView }[],
  ): Promise<void> {
    const { cache, fanout, runtime } = this.#context;
    const places = new Places(wanted.map(({ segment }) => segment));
    const searchAt = (offset: number): KeySearch => (wanted[offset] as (typeof wanted)[number]).search;
    const open = new Set(wanted.keys());
    const asked = { topic: this.#name, fromTime: this.#fromTime, searchAt };
    const call = fanout.call(
      wanted.map(({ search, segment }) => places.pointOf(segment, search.hash)),
      () => places.views(cache.state.topic(this.#name)),
      (place: Place, offsets, { signal }) => askPlace(this.#context, place, offsets, { ...asked, signal }),
      {
        perPoint: true,
        allowPartial: true,
        signal: this.#stopped.signal,
        timeoutMs: Math.max(0, this.#deadlineMs - runtime.clock.monotonicMs()),
      },
    );
    try {
      for await (const { offsets, result } of call) {
        const offset = offsets[0] as number;
        open.delete(offset);
        const search = searchAt(offset);
        if (result) search.answered(result.served, result.lease, result.found);
        this.#goOn(search);
      }
      for (const { offset, causes } of call.failures) {
        open.delete(offset);
        const cause = causes.at(-1)?.error;
        const search = searchAt(offset);
        this.#fail(search, isAnswer(cause) ? cause : this.#late(search, cause));
      }
    } catch (error) {
      for (const offset of open) this.#fail(searchAt(offset), error);
    }
    await call.settled;
  }

  async #askArchive(segment: SegmentView, searches: readonly KeySearch[]): Promise<void> {
    try {
      const newest = await this.#archive.newest(segment, new Set(searches.map(({ key }) => key)));
      for (const search of searches) {
        search.searchedArchive(segment.id, newest.get(search.key));
        this.#goOn(search);
      }
    } catch (error) {
      for (const search of searches) this.#fail(search, error);
    }
  }
}

/** Whether an error is worth telling as it is. */
function isAnswer(error: unknown): error is TopicError {
  return error instanceof TopicError && error.code !== "closed";
}
