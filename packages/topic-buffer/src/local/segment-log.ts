import { type FileHandle, systemRandomBytes } from "@x/coord";
import {
  type FrameChunk,
  type Random,
  type ReadLogOptions,
  type SegmentEnd,
  type SegmentLogStore,
  type SegmentLogWriter,
  TopicError,
} from "@x/topic-gateway/protocol";
import { systemLogFiles } from "../system.js";
import { asTopicError, hasCode } from "./errors.js";
import type { LocalLogEvent } from "./events.js";
import { type DurableFile, type LogFileSystem, openForAppends } from "./log-files.js";
import { parseHeader, readHeader } from "./log-header.js";
import { LogIndex } from "./log-index.js";
import { type LogPoint, LogScanner } from "./log-scanner.js";
import { LocalLogWriter } from "./log-writer.js";
import { type LogPaths, logPaths, logsDirectory } from "./paths.js";
import { checkReadOptions } from "./read-options.js";
import { portionAt, Room } from "./room.js";
import { sealLog } from "./seal.js";
import { listStoreIds, loadStoreIds } from "./store-id.js";

export interface LocalSegmentLogOptions {
  /** Made if missing. Everything in it belongs to the store; other processes of this host may have it open too. */
  readonly directory: string;
  /** The machine's by default. */
  readonly fileSystem?: LogFileSystem;
  /** For the id of a new store. The system's by default. */
  readonly random?: Pick<Random, "bytes">;
  /** The most room to prepare at once ahead of what is written, 256 KiB by default, 0 for none. */
  readonly preallocateBytes?: number;
  /** Must not throw. */
  readonly onEvent?: (event: LocalLogEvent) => void;
}

/** Disposing it closes its writers; their logs stay unsealed. */
export type LocalSegmentLog = SegmentLogStore & AsyncDisposable;

const DEFAULT_PREALLOCATE_BYTES = 256 * 1024;

/**
 * Opens a folder of segment logs, one file for each. Appends are durable by fdatasync; a log is sealed by a marker file that
 * the writer looks for after each sync.
 *
 * @throws TopicError "invalid-argument" if the folder is not on a local file system (exclusive creation and fsync must mean
 * what they say, also to other processes), "unavailable" if it cannot be read or made
 */
export async function openLocalSegmentLog(options: LocalSegmentLogOptions): Promise<LocalSegmentLog> {
  const { directory, fileSystem = systemLogFiles, random = { bytes: systemRandomBytes } } = options;
  const { preallocateBytes = DEFAULT_PREALLOCATE_BYTES } = options;
  if (!Number.isSafeInteger(preallocateBytes) || preallocateBytes < 0) {
    throw new TopicError("invalid-argument", `preallocateBytes is ${preallocateBytes}: 0 or more is allowed`);
  }
  try {
    await fileSystem.makeDirectory(logsDirectory(directory));
    if (!(await fileSystem.isLocal(directory))) {
      throw new TopicError(
        "invalid-argument",
        `${directory} is not on a local file system of this host: logs there could be lost or written by two at once`,
      );
    }
    const ids = await loadStoreIds(fileSystem, directory, random);
    return new LocalLogStore({ ...options, fileSystem, preallocateBytes }, ids);
  } catch (error) {
    throw asTopicError(error, { code: "unavailable", doing: `opening the logs in ${directory}` });
  }
}

class LocalLogStore implements LocalSegmentLog {
  readonly id: string;
  readonly #options: LocalSegmentLogOptions & { fileSystem: LogFileSystem; preallocateBytes: number };
  readonly #fileSystem: LogFileSystem;
  readonly #index = new LogIndex();
  readonly #writers = new Map<string, LocalLogWriter>();
  /** How far the logs of this object's writers are durable, until they are dropped. */
  readonly #durable = new Map<string, LogPoint>();
  /** Those of topics that are known to be durable. */
  readonly #directories = new Set<string>();
  #ids: ReadonlySet<string>;
  #loading: Promise<void> | undefined;
  #closed = false;

  constructor(
    options: LocalSegmentLogOptions & { fileSystem: LogFileSystem; preallocateBytes: number },
    ids: readonly string[],
  ) {
    this.#options = options;
    this.#fileSystem = options.fileSystem;
    this.#ids = new Set(ids);
    this.id = ids[0] as string;
  }

  owns(name: string): boolean {
    const isKnown = this.#ids.has(name.slice(0, name.indexOf("/")));
    if (!isKnown && !this.#closed) void this.#loadIds().catch(() => {});
    return isKnown;
  }

  /** Again, since somebody may have made the root at the same time as this process. */
  #loadIds(): Promise<void> {
    this.#loading ??= listStoreIds(this.#fileSystem, this.#options.directory)
      .then((ids) => {
        this.#ids = new Set(ids);
      })
      .finally(() => {
        this.#loading = undefined;
      });
    return this.#loading;
  }

  async create(name: string, headerFrame: Buffer): Promise<SegmentLogWriter> {
    const paths = await this.#paths(name);
    const start = parseHeader(headerFrame, paths.nonce);
    if (!start || start.offset !== headerFrame.length) {
      throw new TopicError(
        "invalid-argument",
        `the header frame of ${name} is not one with the nonce in its name`,
      );
    }
    const failed = { code: "log-failed", doing: `creating the log ${name}` } as const;
    let file: FileHandle;
    try {
      await this.#prepareDirectory(paths.directory);
      file = await this.#fileSystem.open(paths.log, "create");
    } catch (error) {
      if (hasCode(error, "EEXIST")) throw new TopicError("log-exists", `the log ${name} is there already`);
      throw asTopicError(error, failed);
    }
    const portion = this.#options.preallocateBytes === 0 ? 0 : portionAt(0, this.#options.preallocateBytes);
    let appends: DurableFile;
    try {
      await file.write([headerFrame, Buffer.alloc(portion)], 0);
      await file.datasync();
      await this.#fileSystem.syncDirectory(paths.directory);
      appends = await openForAppends(this.#fileSystem, paths.log, file);
    } catch (error) {
      // Nobody has recorded the log, and its name is used once: the file is no longer of any use.
      await file.close().catch(() => {});
      await this.#fileSystem.remove(paths.log).catch(() => {});
      throw asTopicError(error, failed);
    }
    return this.#writer(paths, appends, { start, end: start.offset + portion });
  }

  async #prepareDirectory(directory: string): Promise<void> {
    if (this.#directories.has(directory)) return;
    await this.#fileSystem.makeDirectory(directory);
    // Also when it was there: whoever made it may have died before it was durable.
    await this.#fileSystem.syncDirectory(logsDirectory(this.#options.directory));
    this.#directories.add(directory);
  }

  #writer(paths: LogPaths, file: DurableFile, at: { start: LogPoint; end: number }): SegmentLogWriter {
    const { preallocateBytes, onEvent } = this.#options;
    const { name } = paths;
    const onDurable = (point: LogPoint): void => {
      this.#durable.set(name, point);
      this.#index.add(name, point);
    };
    const writer = new LocalLogWriter({
      fileSystem: this.#fileSystem,
      paths,
      file,
      start: at.start,
      onDurable,
      onClose: () => this.#writers.delete(name),
      room: new Room({
        open: () => this.#fileSystem.open(paths.log, "update"),
        end: at.end,
        maxBytes: preallocateBytes,
        onFailure: (cause) => onEvent?.({ type: "preallocation-failed", log: name, cause }),
      }),
    });
    onDurable(at.start);
    this.#writers.set(name, writer);
    return writer;
  }

  async seal(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<SegmentEnd> {
    const { signal } = options;
    signal?.throwIfAborted();
    const paths = await this.#paths(name);
    try {
      const { end, torn } = await sealLog(this.#fileSystem, paths, {
        known: this.#durable.get(name),
        onPoint: (point) => this.#index.add(name, point),
        signal,
      });
      this.#options.onEvent?.({ type: "sealed", log: name, end: end.offset, torn });
      return { end: end.offset, lastSequence: end.sequence, lastTime: end.time };
    } catch (error) {
      throw this.#failure(error, { name, doing: "sealing", signal });
    }
  }

  async *read(name: string, options: ReadLogOptions): AsyncIterable<FrameChunk> {
    const { fromSequence, lastSequence, signal } = checkReadOptions(options);
    const paths = await this.#paths(name);
    let file: FileHandle | undefined;
    try {
      signal?.throwIfAborted();
      file = await this.#fileSystem.open(paths.log, "read");
      const from = this.#index.before(name, fromSequence) ?? (await readHeader(file, paths));
      const onPoint = (point: LogPoint): void => this.#index.add(name, point);
      onPoint(from);
      const scanner = new LogScanner(file, { nonce: paths.nonce, from, onPoint });
      yield* scanner.chunks({ fromSequence, lastSequence, signal });
      const { offset, sequence } = scanner.point;
      if (sequence < lastSequence) {
        throw new TopicError(
          "corrupt",
          `the log ${name} is damaged at byte ${offset}, where sequence ${sequence + 1} should be: it was recorded to go on to ${lastSequence}`,
        );
      }
    } catch (error) {
      throw this.#failure(error, { name, doing: "reading", signal });
    } finally {
      await file?.close();
    }
  }

  async drop(name: string): Promise<void> {
    const paths = await this.#paths(name);
    try {
      // The log first, and durably: a writer that wakes up now must find either the marker or no log.
      for (const path of [paths.log, paths.marker]) {
        if (!(await this.#fileSystem.exists(path))) continue;
        await this.#fileSystem.remove(path);
        await this.#fileSystem.syncDirectory(paths.directory);
      }
    } catch (error) {
      throw asTopicError(error, { code: "unavailable", doing: `dropping the log ${name}` });
    }
    this.#index.delete(name);
    this.#durable.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#writers.values()].map((writer) => writer.close()));
  }

  async #paths(name: string): Promise<LogPaths> {
    if (this.#closed) throw new TopicError("closed", "the store of segment logs was closed");
    const { directory } = this.#options;
    const paths = logPaths(directory, name);
    if (!this.#ids.has(paths.storeId)) await this.#loadIds();
    if (this.#ids.has(paths.storeId)) return paths;
    throw new TopicError(
      "unavailable",
      `the log ${name} is in another store than the one in ${directory}, whose id is ${this.id}`,
    );
  }

  #failure(
    error: unknown,
    options: { readonly name: string; readonly doing: string; readonly signal: AbortSignal | undefined },
  ): unknown {
    const { name, doing, signal } = options;
    if (hasCode(error, "ENOENT"))
      return new TopicError("log-missing", `the log ${name} is not there`, { cause: error });
    return asTopicError(error, { code: "unavailable", doing: `${doing} the log ${name}`, signal });
  }
}
