import { BlobError } from "../../errors.js";
import { fileError } from "../../stores/file-errors.js";
import type { WritableFile } from "../../stores/files.js";
import { isThere, openDir, type QueueFiles, readWhole, removeIfThere } from "./files.js";
import {
  decodeHeader,
  decodeRecord,
  encodeHeader,
  encodeRecord,
  type QueueHeader,
  type QueueRecord,
  recordBytes,
} from "./record.js";

/** Where the queue keeps what it must not forget. */
export interface Journal {
  /** Resolves when the record is as durable as it will be. `apply` runs just then, in the order of the records, before anything else is told of it. */
  append(record: QueueRecord, apply: () => void): Promise<void>;
  /** A record that may be lost: then something is done again that was done. */
  note(record: QueueRecord): void;
  close(): Promise<void>;
}

/** All that is still needed, when a file begins. */
export interface Snapshot {
  readonly header: QueueHeader;
  readonly records: readonly QueueRecord[];
}

export const memoryJournal: Journal = {
  append: async (_record, apply) => apply(),
  note: () => {},
  close: async () => {},
};

export interface Recovered {
  readonly header: QueueHeader;
  readonly records: readonly QueueRecord[];
  /** Records that were damaged, with whole ones after them: no torn end. */
  readonly damaged: number;
}

const filePattern = /^queue-(\d{1,15})\.log$/;
const smallestCompaction = 16 * 1024;

interface Waiting {
  readonly bytes: Buffer;
  readonly apply?: () => void;
  readonly resolve?: () => void;
  readonly reject?: (error: unknown) => void;
}

/**
 * One append-only file of records. What comes while a write and its sync run shares the next ones (group commit). A file that has grown to several times what is
 * still needed is replaced by a new one, and so is one that a write or a sync failed on: what is behind such a failure is unknown.
 */
export class FileJournal implements Journal {
  readonly #dir: string;
  readonly #files: QueueFiles;
  readonly #snapshot: () => Snapshot;
  #generation: number;
  #file: WritableFile | undefined;
  #records = 0;
  #compactAt = smallestCompaction;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #closed = false;

  private constructor(dir: string, files: QueueFiles, generation: number, snapshot: () => Snapshot) {
    this.#dir = dir;
    this.#files = files;
    this.#generation = generation;
    this.#snapshot = snapshot;
  }

  /**
   * `recover` gets what the folder holds, if it holds a queue, before `snapshot` is asked for the first time.
   * @throws BlobError "bad-data", "refused", "full", "unavailable"
   */
  static async open(
    dir: string,
    files: QueueFiles,
    recover: (recovered: Recovered) => void,
    snapshot: () => Snapshot,
  ): Promise<FileJournal> {
    try {
      const names = await openDir(files, dir);
      const generations = names.flatMap((name) => filePattern.exec(name)?.[1] ?? []).map(Number);
      const newest = Math.max(0, ...generations);
      if (newest > 0) {
        const path = pathOf(dir, newest);
        recover(replay(await readWhole(files, path), path));
      }
      const journal = new FileJournal(dir, files, newest, snapshot);
      await journal.#begin();
      for (const name of names) {
        if (filePattern.test(name) || name.endsWith(".new")) await removeIfThere(files, `${dir}/${name}`);
      }
      await files.syncDir(dir);
      return journal;
    } catch (error) {
      throw fileError(error, dir, "opening the queue");
    }
  }

  append(record: QueueRecord, apply: () => void): Promise<void> {
    if (this.#closed) return Promise.reject(new BlobError("closed", "the queue was closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytes: encodeRecord(record), apply, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  note(record: QueueRecord): void {
    if (this.#closed) return;
    this.#waiting.push({ bytes: encodeRecord(record) });
    this.#flushing ??= this.#flush();
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#flushing) await this.#flushing;
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #flush(): Promise<void> {
    // The puts of this turn share the first write as well.
    await undefined;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(batch);
        for (const { apply } of batch) apply?.();
        for (const { resolve } of batch) resolve?.();
      } catch (error) {
        const shown = fileError(error, this.#dir, "writing the queue");
        for (const { reject } of batch) reject?.(shown);
      }
    }
    this.#flushing = undefined;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    if (this.#file === undefined || this.#records + batch.length > this.#compactAt) await this.#begin();
    const file = this.#file as WritableFile; // begun
    try {
      await file.append(
        batch.length === 1 ? batch[0]!.bytes : Buffer.concat(batch.map((each) => each.bytes)),
      );
      this.#records += batch.length;
      if (!batch.some((each) => each.resolve)) return;
      await file.sync();
      if (!(await isThere(this.#files, pathOf(this.#dir, this.#generation)))) {
        this.#closed = true;
        throw new BlobError("closed", `another process has taken over the queue in ${this.#dir}`);
      }
    } catch (error) {
      this.#file = undefined;
      await file.close().catch(() => {});
      throw error;
    }
  }

  /** A new file with what is still needed. It has its name only when it is whole. */
  async #begin(): Promise<void> {
    if (this.#closed) throw new BlobError("closed", "the queue was closed");
    const { header, records } = this.#snapshot();
    const old = this.#generation;
    const path = pathOf(this.#dir, old + 1);
    const before = this.#file;
    let file: WritableFile | undefined;
    try {
      await removeIfThere(this.#files, `${path}.new`);
      file = await this.#files.create(`${path}.new`);
      await file.append(Buffer.concat([encodeHeader(header), ...records.map(encodeRecord)]));
      await file.sync();
    } catch (error) {
      await file?.close().catch(() => {});
      await this.#files.remove(`${path}.new`).catch(() => {});
      if (before === undefined) throw error;
      // The file in use is whole: it goes on growing, until the disk has room for a new one.
      this.#compactAt += smallestCompaction;
      return;
    }
    try {
      await this.#files.rename(`${path}.new`, path);
      await this.#files.syncDir(this.#dir);
    } catch (error) {
      // Which of the two a restart would find is unknown: nothing may be added to the old one.
      this.#file = undefined;
      await before?.close().catch(() => {});
      await file.close().catch(() => {});
      throw error;
    }
    this.#file = file;
    this.#generation = old + 1;
    this.#records = records.length;
    this.#compactAt = Math.max(smallestCompaction, 3 * records.length);
    // From here on the new file counts; what is left of the old one is removed at the next start.
    await before?.close().catch(() => {});
    if (old > 0) await this.#files.remove(pathOf(this.#dir, old)).catch(() => {});
  }
}

function pathOf(dir: string, generation: number): string {
  return `${dir}/queue-${generation}.log`;
}

function replay(file: Uint8Array, path: string): Recovered {
  const { header, end } = decodeHeader(file, path);
  const records: QueueRecord[] = [];
  let damaged = 0;
  let bad = 0;
  for (let at = end; at + recordBytes <= file.length; at += recordBytes) {
    const record = decodeRecord(file.subarray(at, at + recordBytes));
    if (record === undefined) {
      bad++;
    } else {
      damaged += bad;
      bad = 0;
      records.push(record);
    }
  }
  return { header, records, damaged };
}
