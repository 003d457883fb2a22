import type { Random } from "../../clock.js";
import { BlobError } from "../../errors.js";
import { fileError } from "../../stores/file-errors.js";
import type { WritableFile } from "../../stores/files.js";
import type { QueueFiles } from "./files.js";
import { Ownership } from "./ownership.js";
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
  /** Aborted when another process is known to have it: then nothing more is written, and appends fail. Undefined where nobody else can have it. */
  readonly deposed: AbortSignal | undefined;
  /** Finds out whether another process has it. @throws BlobError "closed" */
  confirm(): Promise<void>;
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
  deposed: undefined,
  confirm: async () => {},
  close: async () => {},
};

export interface Recovered {
  readonly header: QueueHeader;
  readonly records: readonly QueueRecord[];
  /** Records that were damaged, with whole ones after them: no torn end. */
  readonly damaged: number;
}

export interface FileJournalOptions {
  readonly dir: string;
  readonly files: QueueFiles;
  readonly random: Random;
  /** A file is not replaced before it has so many records. Default 16,384. */
  readonly leastCompaction?: number;
  /** Gets what the folder holds, if it holds a queue, before `snapshot` is asked for the first time. */
  readonly recover: (recovered: Recovered) => void;
  readonly snapshot: () => Snapshot;
}

interface Waiting {
  readonly bytes: Buffer;
  readonly apply?: () => void;
  readonly resolve?: () => void;
  readonly reject?: (error: unknown) => void;
}

/**
 * One append-only file of records. What comes while a write and its sync run shares the next ones (group commit). A file that has grown to several times what is
 * still needed is replaced by a new one, and so is one that a write or a sync failed on: what is behind such a failure is unknown. Whose the files are, and which
 * of them counts, says `Ownership`.
 */
export class FileJournal implements Journal {
  readonly #options: FileJournalOptions;
  readonly #ownership: Ownership;
  readonly #leastCompaction: number;
  /** Of the file that counts, and of the last that was tried: of one whose name failed nobody knows whether it is there, so none is tried twice. */
  #number = 0;
  #lastTried = 0;
  #file: WritableFile | undefined;
  #records = 0;
  #compactAt: number;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;
  #closed = false;

  private constructor(options: FileJournalOptions, ownership: Ownership) {
    this.#options = options;
    this.#ownership = ownership;
    this.#leastCompaction = options.leastCompaction ?? 16 * 1024;
    this.#compactAt = this.#leastCompaction;
  }

  /** @throws BlobError "bad-data", "refused", "full", "unavailable"; "closed" when another process opens the queue just now */
  static async open(options: FileJournalOptions): Promise<FileJournal> {
    const { dir, files, random, recover } = options;
    let journal: FileJournal | undefined;
    try {
      const ownership = await Ownership.take(dir, files, random);
      const found = await ownership.newest();
      if (found) recover(replay(found.bytes, found.path));
      journal = new FileJournal(options, ownership);
      await journal.#begin();
      await ownership.removeOlder(journal.#number);
      await ownership.check();
      return journal;
    } catch (error) {
      await journal?.close().catch(() => {});
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

  get deposed(): AbortSignal {
    return this.#ownership.deposed;
  }

  async confirm(): Promise<void> {
    await this.#ownership.confirm();
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
        const shown = fileError(await this.#ownership.blame(error), this.#options.dir, "writing the queue");
        for (const { reject } of batch) reject?.(shown);
      }
    }
    this.#flushing = undefined;
  }

  async #write(batch: readonly Waiting[]): Promise<void> {
    if (this.deposed.aborted) await this.#ownership.check();
    if (this.#file === undefined || this.#records + batch.length > this.#compactAt) await this.#begin();
    const file = this.#file as WritableFile; // begun
    try {
      await file.append(
        batch.length === 1 ? batch[0]!.bytes : Buffer.concat(batch.map((each) => each.bytes)),
      );
      this.#records += batch.length;
      if (!batch.some((each) => each.resolve)) return;
      await file.sync();
      await this.#ownership.check();
    } catch (error) {
      this.#file = undefined;
      await file.close().catch(() => {});
      throw error;
    }
  }

  /** A new file with what is still needed. It has its name only when it is whole. */
  async #begin(): Promise<void> {
    if (this.#closed) throw new BlobError("closed", "the queue was closed");
    const { dir, files, snapshot } = this.#options;
    const { header, records } = snapshot();
    const before = this.#file;
    const number = ++this.#lastTried;
    const path = this.#ownership.pathOf(number);
    let file: WritableFile | undefined;
    try {
      file = await files.create(`${path}.new`);
      await file.append(Buffer.concat([encodeHeader(header), ...records.map(encodeRecord)]));
      await file.sync();
      await this.#ownership.check();
    } catch (error) {
      await file?.close().catch(() => {});
      await files.remove(`${path}.new`).catch(() => {});
      if (before === undefined || this.deposed.aborted) throw error;
      // The file in use is whole: it goes on growing, until the disk has room for a new one.
      this.#compactAt += this.#leastCompaction;
      return;
    }
    try {
      await files.rename(`${path}.new`, path);
      await files.syncDir(dir);
    } catch (error) {
      // Which of the two a restart would find is unknown: nothing may be added to the old one.
      this.#file = undefined;
      await before?.close().catch(() => {});
      await file.close().catch(() => {});
      throw error;
    }
    const old = this.#number;
    this.#file = file;
    this.#number = number;
    this.#records = records.length;
    this.#compactAt = Math.max(this.#leastCompaction, 3 * records.length);
    // What is left of the old file, when this fails, is removed at the next start.
    await before?.close().catch(() => {});
    if (old > 0) await files.remove(this.#ownership.pathOf(old)).catch(() => {});
  }
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
