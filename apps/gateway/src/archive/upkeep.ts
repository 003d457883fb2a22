/** What is done for the archive beside archiving: its bucket is completed, and its garbage is collected. */
import { setTimeout } from "node:timers/promises";
import { type NamedStore, type Replica, sync } from "@x/blob-replica";
import type { BlobArchive, CollectReport } from "@x/topic-gateway/blob";
import type { SegmentArchive } from "@x/topic-gateway/protocol";
import { describeError, type Log } from "../log.js";

export interface UpkeepOptions {
  readonly blobs: BlobArchive;
  readonly replica: Replica;
  readonly folders: readonly NamedStore[];
  /** The bucket. */
  readonly far: NamedStore | undefined;
  readonly log: Log;
  readonly collectMs: number;
}

export interface Upkeep extends AsyncDisposable {
  /** The archive, watched for what leaves garbage. */
  watching(archive: SegmentArchive): SegmentArchive;
}

const RETRY_SYNC_MS = 60_000;

export function startUpkeep(options: UpkeepOptions): Upkeep {
  const upkeep = new RunningUpkeep(options);
  upkeep.start();
  return upkeep;
}

class RunningUpkeep implements Upkeep {
  readonly #options: UpkeepOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  /** At first, for the sake of a process that died while it archived. */
  #mayHaveGarbage = true;
  /** A blob that is copied while it is deleted could stay in the bucket alone, so one waits for the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running.push(this.#collectAtIntervals(), this.#fillFolders());
    if (this.#options.far) this.#running.push(this.#complete(this.#options.far));
  }

  watching(archive: SegmentArchive): SegmentArchive {
    return {
      put: async (name, chunks, options) => {
        try {
          await archive.put(name, chunks, options);
        } catch (error) {
          this.#mayHaveGarbage = true;
          throw error;
        }
      },
      read: (name, options) => archive.read(name, options),
      drop: async (name) => {
        this.#mayHaveGarbage = true;
        await archive.drop(name);
      },
    };
  }

  async #collectAtIntervals(): Promise<void> {
    const { blobs, log, collectMs } = this.#options;
    while (await this.#pause(collectMs)) {
      if (!this.#mayHaveGarbage) continue;
      this.#mayHaveGarbage = false;
      try {
        const { signal } = this.#stop;
        const report = await this.#inTurn(() => blobs.collect({ signal }));
        // What was found is deleted the next time.
        if (report.waiting > 0) this.#mayHaveGarbage = true;
        if (report.failed > 0) log.error(whatIsLeft(report), report.firstFailure);
        log.debug("archive collected", report);
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#mayHaveGarbage = true;
        log.error("the garbage of the archive can't be collected", error);
      }
    }
  }

  /** A folder may be on a new disk. Reads would heal what they need; this is for all that nobody reads. */
  async #fillFolders(): Promise<void> {
    const { folders, replica, log } = this.#options;
    const { signal } = this.#stop;
    if (folders.length < 2) return;
    for (const { name, store } of folders) {
      try {
        const names = { from: "the archive", to: name };
        const report = await this.#inTurn(() => sync(replica, store, { names, signal }));
        if (report.copied > 0) log.info(`${name} was given ${report.copied} blobs that it did not have`);
        if (!report.complete) {
          const why = report.stopped ?? report.failed[0]?.error;
          log.error(`${name} may lack blobs that the archive has`, why);
        }
      } catch (error) {
        if (signal.aborted) return;
        log.error(`${name} can't be compared with the archive`, error);
      }
    }
  }

  /**
   * At the start, since the bucket may be new, or a process that is not there any more may have left its queue; and whenever the queue had no
   * room.
   */
  async #complete(far: NamedStore): Promise<void> {
    const { replica, log } = this.#options;
    const { signal } = this.#stop;
    try {
      for (;;) {
        const dropped = replica.state().async.find(({ name }) => name === far.name)?.dropped ?? 0;
        const names = { from: "the archive", to: far.name };
        const report = await this.#inTurn(() => sync(replica, far.store, { names, signal }));
        if (report.complete) {
          await replica.markSynced(far.name, { dropped, signal });
          if (report.copied > 0)
            log.info(`${far.name} was given ${report.copied} blobs that it did not have`);
          await this.#untilNeeded(far.name);
        } else {
          const why = report.stopped ?? report.failed[0]?.error;
          log.info(`${far.name} can't be compared with the archive now: ${describeError(why)}`);
          if (!(await this.#pause(RETRY_SYNC_MS))) return;
        }
      }
    } catch (error) {
      if (!signal.aborted) log.error(`${far.name} is not compared with the archive any more`, error);
    }
  }

  async #untilNeeded(name: string): Promise<void> {
    const { replica } = this.#options;
    for await (const state of replica.states({ signal: this.#stop.signal })) {
      if (state.async.some((store) => store.name === name && store.needsSync)) return;
    }
    this.#stop.signal.throwIfAborted();
    throw new Error("the archive was closed");
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      this.#stop.signal.throwIfAborted();
      return work();
    });
    this.#turn = turn.catch(() => {});
    return await turn;
  }

  /** False when it is time to stop. */
  async #pause(delayMs: number): Promise<boolean> {
    try {
      await setTimeout(delayMs, undefined, { signal: this.#stop.signal, ref: false });
      return true;
    } catch {
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error("the process is stopping"));
    await Promise.all(this.#running);
  }
}

function whatIsLeft({ failed, skipped }: CollectReport): string {
  const what = `${failed} blobs of the archive's garbage can't be deleted, and`;
  if (skipped === 0) return `${what} wait for the next time`;
  return `${what} ${skipped} more were not tried after that; all ${failed + skipped} wait for the next time`;
}
