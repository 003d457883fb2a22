import { dirname, resolve } from "node:path";
import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import { replaceFile } from "../maintenance/replace-file.js";
import { parseRef, type Ref } from "../ref.js";
import { openDir, type QueueFiles, readWhole } from "../replica/queue/files.js";
import type { CallOptions } from "../store.js";
import { fileError, systemCode } from "../stores/file-errors.js";
import { KeyedLock } from "../stores/keyed-lock.js";
import { nodeFiles } from "../stores/node-files.js";
import type { ProcessIdentity } from "../stores/process-identity.js";
import { systemClock, systemProcess } from "../system.js";
import { FileLock } from "./file-lock.js";

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

const only = "only";

/**
 * The root in a file, for processes of one machine: replaced by a rename, synced before `swap` resolves. `<path>.lock` excludes the others, and
 * `<path>.lock.steal` those who remove it; what a process that died left of them is removed, where the system tells that it did. On a network file system other machines
 * cannot tell: a lock that was left there is to be removed by hand.
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
  readonly #timeoutMs: number;
  /** Of the calls here, and of processes. */
  readonly #calls = new KeyedLock<string>();
  readonly #lock: FileLock;

  constructor(path: string, { ports = {}, lockTimeoutMs = 10_000 }: FileAnchorStoreOptions) {
    this.#path = path;
    this.#files = ports.files ?? nodeFiles;
    this.#timeoutMs = lockTimeoutMs;
    this.#lock = new FileLock(`${path}.lock`, {
      files: this.#files,
      clock: ports.clock ?? systemClock,
      process: ports.process ?? systemProcess(),
    });
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
      return await this.#calls.run(only, signal, async () => {
        await openDir(this.#files, dirname(this.#path));
        await this.#lock.acquire(this.#timeoutMs, signal);
        try {
          if ((await this.load(options)) !== from) return false;
          signal?.throwIfAborted();
          // Nobody else has the lock.
          await replaceFile(this.#files, this.#path, Buffer.from(`${to}\n`));
          return true;
        } finally {
          await this.#lock.release();
        }
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw fileError(error, this.#path, "writing the anchor");
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
