import type { StoreFiles } from "./files.js";

/** As many as a process may have threads for them that raised `UV_THREADPOOL_SIZE` to write many files; those of Node's own pool are 4. */
const syncsAtOnce = 16;

/**
 * Syncs folders for many callers in rounds. What is asked for while a round runs goes into the next one, each folder once: it has to be synced after the caller's
 * rename, and one sync serves all who came before it. File systems with a journal commit for all the folders of a round together.
 */
export class DirSyncer {
  readonly #files: StoreFiles;
  #waiting = new Map<string, SyncCall[]>();
  #running = false;

  constructor(files: StoreFiles) {
    this.#files = files;
  }

  /** Why those are not synced that are not. Never rejects. */
  sync(dirs: Iterable<string>): Promise<ReadonlyMap<string, unknown>> {
    return new Promise((resolve) => {
      const call = new SyncCall(new Set(dirs), resolve);
      for (const dir of call.dirs) {
        const waiting = this.#waiting.get(dir);
        if (waiting) waiting.push(call);
        else this.#waiting.set(dir, [call]);
      }
      if (!this.#running) void this.#rounds();
    });
  }

  async #rounds(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const round = this.#waiting.entries();
      this.#waiting = new Map();
      const lane = async () => {
        for (let next = round.next(); next.done !== true; next = round.next()) {
          const [dir, calls] = next.value;
          try {
            await this.#files.syncDir(dir);
            for (const call of calls) call.synced();
          } catch (error) {
            for (const call of calls) call.failed(dir, error);
          }
        }
      };
      await Promise.all(Array.from({ length: syncsAtOnce }, lane));
    }
    this.#running = false;
  }
}

/** One caller, who waits for all of its folders together, by one promise: there may be a thousand. */
class SyncCall {
  readonly dirs: ReadonlySet<string>;
  readonly #failures = new Map<string, unknown>();
  readonly #resolve: (failures: ReadonlyMap<string, unknown>) => void;
  #left: number;

  constructor(dirs: ReadonlySet<string>, resolve: (failures: ReadonlyMap<string, unknown>) => void) {
    this.dirs = dirs;
    this.#resolve = resolve;
    this.#left = dirs.size;
    if (this.#left === 0) resolve(this.#failures);
  }

  synced(): void {
    this.#left--;
    if (this.#left === 0) this.#resolve(this.#failures);
  }

  failed(dir: string, error: unknown): void {
    this.#failures.set(dir, error);
    this.synced();
  }
}
