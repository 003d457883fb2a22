import { CoordError } from "../errors.js";
import type { FileHandle, FileSystem } from "../file-system.js";
import { ByteWriter } from "./bytes.js";
import {
  claimGeneration,
  compareNumbers,
  hex,
  highestGeneration,
  parseNames,
  recover,
  snapshotName,
  walName,
} from "./folder.js";
import {
  encodeFileHeader,
  encodeFrameHeader,
  fileHeaderBytes,
  frameHeaderBytes,
  nonceBytes,
} from "./frames.js";
import { type LogRecord, writeRecord } from "./records.js";
import { encodeSnapshot } from "./snapshot.js";
import { type HistoryLimits, Store } from "./store.js";

const snapshotPieceBytes = 1_048_576;

export interface DurableLogOptions {
  readonly directory: string;
  readonly fileSystem: FileSystem;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly limits: HistoryLimits;
  /** A log file that is longer than this, and than its snapshot, is replaced by a new snapshot and an empty file. */
  readonly walBytes: number;
}

interface OpenFile {
  readonly name: string;
  readonly handle: FileHandle;
  readonly nonce: Uint8Array;
  position: number;
  frames: number;
}

/**
 * The durable side of an embedded store: appends groups of records, and keeps the folder small. One call at a time.
 * After any call has thrown, the state of the disk is unknown: nothing may be called any more but `close`.
 */
export class DurableLog {
  readonly generation: number;
  readonly clusterId: string;
  readonly #options: DurableLogOptions;
  #sequence = 0;
  #snapshotBytes = 0;
  #file: OpenFile | undefined;

  private constructor(options: DurableLogOptions, generation: number, clusterId: string) {
    this.#options = options;
    this.generation = generation;
    this.clusterId = clusterId;
  }

  /**
   * Takes the folder over and reads it. Nothing that is read is changed or removed before `rotate`, which must come next, has
   * written all of it anew: what a fenced opener still writes to its own log is never looked at again.
   */
  static async open(options: DurableLogOptions): Promise<{ log: DurableLog; store: Store }> {
    const { directory, fileSystem, limits, randomBytes } = options;
    await fileSystem.makeDirectory(directory);
    const generation = await claimGeneration(fileSystem, directory);
    const snapshot = await recover(fileSystem, directory, limits);
    const clusterId = snapshot?.clusterId ?? hex(randomBytes(16));
    return {
      log: new DurableLog(options, generation, clusterId),
      store: snapshot?.store ?? new Store(limits),
    };
  }

  /** Whether the log file is long enough to be worth a snapshot. */
  get isLong(): boolean {
    return (this.#file?.position ?? 0) > Math.max(this.#options.walBytes, this.#snapshotBytes);
  }

  /** On return the records are durable, all together. */
  async append(records: readonly LogRecord[]): Promise<void> {
    const file = this.#file!;
    const writer = new ByteWriter();
    for (const record of records) writeRecord(writer, record);
    const payload = writer.finish();
    file.frames += 1;
    const header = encodeFrameHeader(file.nonce, file.frames, payload);
    await file.handle.write([header, payload], file.position);
    file.position += frameHeaderBytes + payload.byteLength;
    await file.handle.datasync();
  }

  /** @throws CoordError "fenced" if somebody else has opened the folder, or taken it away */
  async checkFence(): Promise<void> {
    const files = parseNames(await this.#options.fileSystem.list(this.#options.directory));
    const highest = highestGeneration(files);
    if (highest > this.generation) {
      throw new CoordError(
        "fenced",
        `the folder was opened again: generation ${highest} follows ${this.generation}`,
      );
    }
    const own = this.#file?.name;
    if (own !== undefined && !files.some((file) => file.name === own)) {
      throw new CoordError("fenced", `the folder was emptied or replaced: ${own} is not in it any more`);
    }
  }

  /** Writes everything the store knows into a new snapshot, with an empty log behind it, and removes what is older. */
  async rotate(store: Store): Promise<void> {
    const { directory, fileSystem, randomBytes } = this.#options;
    const at = { generation: this.generation, sequence: this.#sequence + 1 };
    const nonce = randomBytes(nonceBytes);
    const wal = walName(at, nonce);
    const content = encodeSnapshot({ clusterId: this.clusterId, wal, store });

    const handle = await fileSystem.open(`${directory}/${wal}`, "create");
    const before = this.#file;
    this.#file = { name: wal, handle, nonce, position: fileHeaderBytes, frames: 0 };
    await before?.handle.close();
    await handle.write([encodeFileHeader(nonce)], 0);
    await handle.datasync();

    const path = `${directory}/${snapshotName(at)}`;
    await this.#writeFile(`${path}.tmp`, content);
    // Both new files must have their names durably before the snapshot gets the one that counts.
    await fileSystem.syncDirectory(directory);
    await this.checkFence();
    await fileSystem.rename(`${path}.tmp`, path);
    await fileSystem.syncDirectory(directory);
    this.#sequence = at.sequence;
    this.#snapshotBytes = content.byteLength;
    await this.checkFence();
    await this.#removeOlder();
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  async #writeFile(path: string, content: Uint8Array): Promise<void> {
    const handle = await this.#options.fileSystem.open(path, "create");
    try {
      for (let at = 0; at < content.byteLength; at += snapshotPieceBytes) {
        await handle.write([content.subarray(at, at + snapshotPieceBytes)], at);
      }
      await handle.datasync();
    } finally {
      await handle.close();
    }
  }

  async #removeOlder(): Promise<void> {
    const { directory, fileSystem } = this.#options;
    const own = { generation: this.generation, sequence: this.#sequence };
    for (const file of parseNames(await fileSystem.list(directory))) {
      const isOlder =
        file.kind === "generation" ? file.generation < own.generation : compareNumbers(file, own) < 0;
      if (isOlder) await fileSystem.remove(`${directory}/${file.name}`);
    }
  }
}
