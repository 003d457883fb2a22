import type { StoreFiles } from "./files.js";

const syncsAtOnce = 4;

/**
 * Syncs folders for many callers in rounds. What is asked for while a round runs goes into the next one, each folder once: it has to be synced after the caller's
 * rename, and one sync serves all who came before it. File systems with a journal commit for all the folders of a round together.
 */
export class DirSyncer {
  readonly #files: StoreFiles;
  #waiting = new Map<string, PromiseWithResolvers>();
  #running = false;

  constructor(files: StoreFiles) {
    this.#files = files;
  }

  async sync(dirs: Iterable<string>): Promise<void> {
    const promises: Promise<void>[] = [];
    for (const dir of dirs) {
      let waiting = this.#waiting.get(dir);
      if (waiting === undefined) {
        waiting = withResolvers();
        this.#waiting.set(dir, waiting);
      }
      promises.push(waiting.promise);
    }
    if (!this.#running) void this.#rounds();
    for (const outcome of await Promise.allSettled(promises)) {
      if (outcome.status === "rejected") throw outcome.reason;
    }
  }

  async #rounds(): Promise<void> {
    this.#running = true;
    while (this.#waiting.size > 0) {
      const round = [...this.#waiting];
      this.#waiting = new Map();
      let next = 0;
      const worker = async () => {
        for (let item = round[next++]; item !== undefined; item = round[next++]) {
          const [dir, waiting] = item;
          await this.#files.syncDir(dir).then(waiting.resolve, waiting.reject);
        }
      };
      await Promise.all(Array.from({ length: syncsAtOnce }, worker));
    }
    this.#running = false;
  }
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
