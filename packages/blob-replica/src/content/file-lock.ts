import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import { sleep } from "../maintenance/pacer.js";
import { isThere, type QueueFiles, readWhole, removeIfThere } from "../replica/queue/files.js";
import { systemCode } from "../stores/file-errors.js";
import type { ProcessIdentity } from "../stores/process-identity.js";

/** A lock file is made and then written: one that stays empty for so long is of a process that died between the two. */
const emptyLockMs = 10_000;
const pollMs = 5;
/** Each is needed only when a process dies while it removes the one before. */
const mostSteals = 8;

export interface FileLockPorts {
  readonly files: QueueFiles;
  readonly clock: Clock;
  readonly process: ProcessIdentity;
}

/**
 * A file that names the process that has the lock. That of a process that died is removed by whoever has a second lock, `<path>.steal`, which is a lock of the same kind: it
 * may be left by a process that died, too, and then is removed under a third one, and so on.
 */
export class FileLock {
  readonly #path: string;
  readonly #files: QueueFiles;
  readonly #clock: Clock;
  readonly #process: ProcessIdentity;

  constructor(path: string, ports: FileLockPorts) {
    this.#path = path;
    this.#files = ports.files;
    this.#clock = ports.clock;
    this.#process = ports.process;
  }

  /** @throws `signal.reason`, BlobError "unavailable" when another process has it for so long, and errors of the system */
  async acquire(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const endMs = this.#clock.monotonicMs() + timeoutMs;
    while (!(await this.#tryLock(this.#path))) {
      signal?.throwIfAborted();
      if (await this.#removeDead(this.#path)) continue;
      if (this.#clock.monotonicMs() >= endMs) {
        const files = (await this.#filesThere()).join(", ");
        const message = `another process has held ${this.#path} for ${timeoutMs} ms; when there is none, remove`;
        throw new BlobError("unavailable", `${message} ${files}`);
      }
      await sleep(this.#clock, pollMs, signal);
    }
  }

  async release(): Promise<void> {
    await this.#files.remove(this.#path);
  }

  async #tryLock(path: string): Promise<boolean> {
    let file: Awaited<ReturnType<QueueFiles["create"]>>;
    try {
      file = await this.#files.create(path);
    } catch (error) {
      if (systemCode(error) === "EEXIST") return false;
      throw error;
    }
    try {
      await file.append(Buffer.from(this.#process.token));
    } catch (error) {
      await removeIfThere(this.#files, path);
      throw error;
    } finally {
      await file.close();
    }
    return true;
  }

  /**
   * Whether it is gone, so that it is worth another try. Of several processes that see the lock of a dead one, only the one that has the second lock removes it, when it is
   * still the dead one's: else one of them could remove the lock that another has just made. So the lock of a process that lives is removed by that process alone.
   */
  async #removeDead(path: string, steals = 1): Promise<boolean> {
    if (!(await this.#isDead(path))) return false;
    const second = `${path}.steal`;
    if (!(await this.#tryLock(second))) {
      return steals < mostSteals && (await this.#removeDead(second, steals + 1));
    }
    try {
      if (!(await this.#isDead(path))) return false;
      await removeIfThere(this.#files, path);
      return true;
    } finally {
      await this.#files.remove(second);
    }
  }

  async #isDead(path: string): Promise<boolean> {
    try {
      // Zeros are what a power cut may leave of a file that was never synced.
      const token = Buffer.from(await readWhole(this.#files, path))
        .toString()
        .replaceAll("\0", "");
      if (token !== "") return this.#process.isDead(token) ?? false;
      return this.#clock.wallMs() - (await this.#files.modifiedMs(path)) > emptyLockMs;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return false;
      throw error;
    }
  }

  async #filesThere(): Promise<string[]> {
    const there: string[] = [];
    let path = this.#path;
    for (let steals = 0; steals <= mostSteals; steals++) {
      if (steals === 0 || (await isThere(this.#files, path))) there.push(path);
      path += ".steal";
    }
    return there;
  }
}
