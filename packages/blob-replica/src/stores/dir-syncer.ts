import type { StoreFiles } from "./files.js";

/** As many as a process may have threads for them that raised `UV_THREADPOOL_SIZE` to write many files; those of Node's own pool are 4. */
const syncsAtOnce = 16;

/**
 * Syncs folders for many callers in rounds. What is asked for while a round runs goes into the next one, each folder once: it has to be synced after the caller's
 * rename, and one sync serves all who came before it. File systems with a journal commit for all the folders of a round together.
 */
export class DirSyncer {
  readonly #files: StoreFiles;
  #waiting = new Map<string, Waiting>();
  #running = false;

  constructor(files: StoreFiles) {
    this.#files = files;
  }

  /** Why those are not synced that are not. Never rejects. */
  async sync(dirs: Iterable<string>): Promise<ReadonlyMap<string, unknown>> {
    const all = new Set(dirs);
    const outcomes: Promise<Failure | undefined>[] = [];
    for (const dir of all) outcomes.push(this.#waitingFor(dir).outcome);
    if (!this.#running) void this.#rounds();
    const failures = new Map<string, unknown>();
    let at = 0;
    for (const dir of all) {
      const failure = await outcomes[at++];
      if (failure !== undefined) failures.set(dir, failure.error);
    }
    return failures;
  }

  #waitingFor(dir: string): Waiting {
    let waiting = this.#waiting.get(dir);
    if (waiting === undefined) {
      waiting = newWaiting();
      this.#waiting.set(dir, waiting);
    }
    return waiting;
  }

  async #rounds(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const round = this.#waiting.entries();
      this.#waiting = new Map();
      const lane = async () => {
        for (let next = round.next(); next.done !== true; next = round.next()) {
          const [dir, waiting] = next.value;
          try {
            await this.#files.syncDir(dir);
            waiting.finish(undefined);
          } catch (error) {
            waiting.finish({ error });
          }
        }
      };
      await Promise.all(Array.from({ length: syncsAtOnce }, lane));
    }
    this.#running = false;
  }
}

interface Failure {
  readonly error: unknown;
}

interface Waiting {
  readonly outcome: Promise<Failure | undefined>;
  readonly finish: (failure: Failure | undefined) => void;
}

function newWaiting(): Waiting {
  let finish: Waiting["finish"] = () => {};
  const outcome = new Promise<Failure | undefined>((resolve) => {
    finish = resolve;
  });
  return { outcome, finish };
}
