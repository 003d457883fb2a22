import { dirname, resolve } from "node:path";
import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import { sleep } from "../maintenance/pacer.js";
import { replaceFile } from "../maintenance/replace-file.js";
import { parseRef, type Ref } from "../ref.js";
import { openDir, type QueueFiles, readWhole, removeIfThere } from "../replica/queue/files.js";
import type { CallOptions } from "../store.js";
import { fileError, systemCode } from "../stores/file-errors.js";
import { KeyedLock } from "../stores/keyed-lock.js";
import { nodeFiles } from "../stores/node-files.js";
import type { ProcessIdentity } from "../stores/process-identity.js";
import { systemClock, systemProcess } from "../system.js";

/** The one thing that changes: which ref is the root. Errors are BlobErrors. */
export interface AnchorStore {
  /** Undefined when there was no `swap` yet. */
  load(options?: CallOptions): Promise<Ref | undefined>;
  /** Sets it to `to` when it is `from`. False, and nothing is changed, when it is another one. */
  swap(from: Ref | undefined, to: Ref, options?: CallOptions): Promise<boolean>;
}

export function memoryAnchorStore(): AnchorStore {
  let root: Ref | undefined;
  return {
    async load(options = {}) {
      options.signal?.throwIfAborted();
      return root;
    },
    async swap(from, to, options = {}) {
      options.signal?.throwIfAborted();
      parseRef(to);
      if (root !== from) return false;
      root = to;
      return true;
    },
  };
}

export interface FileAnchorStoreOptions {
  /** How long a `swap` waits for another process that has the lock. Default 10,000. */
  readonly lockTimeoutMs?: number;
  readonly ports?: {
    readonly files?: QueueFiles;
    readonly clock?: Clock;
    readonly process?: ProcessIdentity;
  };
}

/** A lock file is made and then written: one that stays empty for so long is of a process that died between the two. */
const emptyLockMs = 10_000;
const pollMs = 5;
const only = "only";

/**
 * The root in a file, for processes of one machine: replaced by a rename, synced before `swap` resolves. `<path>.lock` excludes the others; that of a process that died is
 * removed, where the system tells that it did. On a network file system other machines cannot tell: a lock that was left there is to be removed by hand.
 * @throws BlobError "invalid-argument"
 */
export function fileAnchorStore(path: string, options: FileAnchorStoreOptions = {}): AnchorStore {
  if (typeof path !== "string" || path === "" || path.includes("\0")) {
    throw new BlobError("invalid-argument", `an anchor file needs a path, not ${JSON.stringify(path)}`);
  }
  return new FileAnchorStore(resolve(path), options);
}

class FileAnchorStore implements AnchorStore {
  readonly #path: string;
  readonly #files: QueueFiles;
  readonly #clock: Clock;
  readonly #process: ProcessIdentity;
  readonly #timeoutMs: number;
  readonly #lock = new KeyedLock<string>();

  constructor(path: string, { ports = {}, lockTimeoutMs = 10_000 }: FileAnchorStoreOptions) {
    this.#path = path;
    this.#files = ports.files ?? nodeFiles;
    this.#clock = ports.clock ?? systemClock;
    this.#process = ports.process ?? systemProcess();
    this.#timeoutMs = lockTimeoutMs;
  }

  async load(options: CallOptions = {}): Promise<Ref | undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    try {
      const text = await this.#text(this.#path);
      signal?.throwIfAborted();
      if (text === undefined) return undefined;
      if (!/^[0-9a-f]{64}\n$/.test(text)) {
        throw new BlobError("bad-data", `${this.#path} is not an anchor file: it has a ref and a line feed`);
      }
      return parseRef(text.trimEnd());
    } catch (error) {
      signal?.throwIfAborted();
      throw fileError(error, this.#path, "reading the anchor");
    }
  }

  async swap(from: Ref | undefined, to: Ref, options: CallOptions = {}): Promise<boolean> {
    const { signal } = options;
    signal?.throwIfAborted();
    parseRef(to);
    try {
      return await this.#lock.run(only, signal, async () => {
        await openDir(this.#files, dirname(this.#path));
        await this.#acquire(signal);
        try {
          if ((await this.load(options)) !== from) return false;
          signal?.throwIfAborted();
          // Nobody else has the lock.
          await replaceFile(this.#files, this.#path, Buffer.from(`${to}\n`));
          return true;
        } finally {
          await this.#files.remove(this.#lockPath);
        }
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw fileError(error, this.#path, "writing the anchor");
    }
  }

  get #lockPath(): string {
    return `${this.#path}.lock`;
  }

  async #acquire(signal: AbortSignal | undefined): Promise<void> {
    const endMs = this.#clock.monotonicMs() + this.#timeoutMs;
    while (!(await this.#tryLock(this.#lockPath))) {
      signal?.throwIfAborted();
      if (await this.#removeDead()) continue;
      if (this.#clock.monotonicMs() >= endMs) {
        const message = `another process has held ${this.#lockPath} for ${this.#timeoutMs} ms; remove it when there is none`;
        throw new BlobError("unavailable", message);
      }
      await sleep(this.#clock, pollMs, signal);
    }
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
   * Of several processes that see the lock of a dead one, only the one that has a second lock removes it, when it is still the dead one's: else one of them could
   * remove the lock that another has just made.
   */
  async #removeDead(): Promise<boolean> {
    if (!(await this.#isDead())) return false;
    const second = `${this.#lockPath}.steal`;
    if (!(await this.#tryLock(second))) return false;
    try {
      if (!(await this.#isDead())) return false;
      await removeIfThere(this.#files, this.#lockPath);
      return true;
    } finally {
      await this.#files.remove(second);
    }
  }

  async #isDead(): Promise<boolean> {
    const token = await this.#text(this.#lockPath);
    if (token === undefined) return false;
    if (token !== "") return this.#process.isDead(token) ?? false;
    try {
      return this.#clock.wallMs() - (await this.#files.modifiedMs(this.#lockPath)) > emptyLockMs;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return false;
      throw error;
    }
  }

  async #text(path: string): Promise<string | undefined> {
    try {
      return Buffer.from(await readWhole(this.#files, path)).toString();
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}
