import { backoffMs } from "../backoff.js";
import type { Clock, Random } from "../clock.js";
import { JournalError } from "../errors.js";
import type { Chunk, SpillSegment } from "./chunk.js";
import type { ChunkMemory } from "./chunk-memory.js";
import type { SpillFile, SpillFiles } from "./spill-files.js";

const NAME_PREFIX = "journal-appends-";
const NAMES = /^journal-appends-[0-9a-f]{32}\.spill$/;
/** One write to the disk: large enough for its bandwidth, small enough to be held a second time for a moment. */
const WRITE_BYTES = 4 * 1024 * 1024;
const WRITE_PARTS = 512;
/** A file goes when all of its appends are committed, so one that is late pins at most this much besides itself. */
const SEGMENT_BYTES = 16 * 1024 * 1024;

export interface SpillDeps {
  readonly dir: string;
  /** On disk, at most. */
  readonly maxBytes: number;
  /** Above this much in memory, bytes go to files. */
  readonly aboveBytes: number;
  readonly files: SpillFiles;
  readonly memory: ChunkMemory;
  readonly clock: Clock;
  readonly random: Random;
  readonly onFailure: (error: JournalError, delayMs: number) => void;
}

/**
 * Moves bytes of an append service from memory to local files, the newest first: the oldest are sent next. Nothing of a file is ever
 * changed; it is removed when the last chunk in it is.
 */
export class Spill {
  readonly #deps: SpillDeps;
  /** Chunks in the order of their making; some are spilled or gone already. */
  #candidates: Chunk[] = [];
  #segment: Segment | undefined;
  #diskBytes = 0;
  #running: Promise<void> | undefined;
  #swept = false;
  #closed = false;
  #wake: (() => void) | undefined;
  /** So many candidates are worth a clean-up. */
  #cleanAt = 1024;

  constructor(deps: SpillDeps) {
    this.#deps = deps;
  }

  /** Bytes on disk now. */
  get diskBytes(): number {
    return this.#diskBytes;
  }

  readonly offer = (chunk: Chunk): void => {
    this.#candidates.push(chunk);
    if (this.#candidates.length < this.#cleanAt) return;
    this.#candidates = this.#candidates.filter(isWanted);
    this.#cleanAt = Math.max(1024, 2 * this.#candidates.length);
  };

  /** Looks whether memory is full enough to begin. */
  press(): void {
    if (this.#running !== undefined || this.#closed) return;
    if (this.#deps.memory.used > this.#deps.aboveBytes) this.#running = this.#run();
  }

  /** Stops spilling, and resolves when nothing is being written. Files that hold appends stay until those are done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#candidates = [];
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Whoever writes now is in the middle of it.
    await undefined;
    let failures = 0;
    while (!this.#closed && this.#deps.memory.used > this.#deps.aboveBytes) {
      const group = this.#choose();
      if (group.length === 0) break;
      try {
        await this.#write(group);
        failures = 0;
      } catch (cause) {
        for (const chunk of group) this.#settle(chunk);
        this.#candidates.push(...group.filter(isWanted));
        const delayMs = backoffMs(failures++, this.#deps.random);
        const { dir } = this.#deps;
        const error = new JournalError(
          "spill-failed",
          `could not keep appends in files of ${dir}: ${String(cause)}`,
          {
            cause,
          },
        );
        this.#deps.onFailure(error, delayMs);
        await this.#pause(delayMs);
      }
    }
    this.#running = undefined;
  }

  #choose(): Chunk[] {
    const group: Chunk[] = [];
    const later: Chunk[] = [];
    const room = Math.min(WRITE_BYTES, this.#deps.maxBytes - this.#diskBytes);
    let bytes = 0;
    while (group.length < WRITE_PARTS) {
      const chunk = this.#candidates.pop();
      if (chunk === undefined) break;
      if (!isWanted(chunk)) continue;
      if (chunk.pinned || chunk.used === 0) {
        later.push(chunk);
        continue;
      }
      if (bytes + chunk.used > room) {
        later.push(chunk);
        break;
      }
      bytes += chunk.used;
      // Its list goes on in another one.
      if (chunk.owner?.tail === chunk) chunk.owner.tail = undefined;
      chunk.spilling = true;
      group.push(chunk);
    }
    this.#candidates.push(...later.reverse());
    return group.reverse();
  }

  async #write(group: readonly Chunk[]): Promise<void> {
    const parts = group.map(({ buffer, used }) => (buffer as Buffer).subarray(0, used));
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    const segment = await this.#segmentFor(bytes);
    try {
      const position = segment.bytes;
      await segment.file.write(parts, position);
      segment.bytes += bytes;
      this.#diskBytes += bytes;
      let at = position;
      for (const [index, chunk] of group.entries()) {
        if (chunk.owner !== undefined) {
          segment.retain();
          chunk.place = { segment, position: at };
        }
        at += (parts[index] as Uint8Array).length;
        this.#settle(chunk);
      }
    } finally {
      segment.release();
    }
  }

  #settle(chunk: Chunk): void {
    chunk.spilling = false;
    chunk.dropMemory();
  }

  /** Gives it held, from the moment it was chosen: what is in it may all be committed before it is written to, and while it is. */
  async #segmentFor(bytes: number): Promise<Segment> {
    const last = this.#segment;
    if (last !== undefined && last.bytes + bytes <= SEGMENT_BYTES) {
      last.retain();
      return last;
    }
    const { dir, files, random } = this.#deps;
    if (!this.#swept) {
      await files.sweep(dir, NAMES);
      this.#swept = true;
    }
    const file = await files.create(
      dir,
      `${NAME_PREFIX}${Buffer.from(random.bytes(16)).toString("hex")}.spill`,
    );
    const segment: Segment = new Segment(file, () => {
      this.#diskBytes -= segment.bytes;
      if (this.#segment === segment) this.#segment = undefined;
      // Nothing can be done about a failure, and nothing depends on it.
      file.close().catch(() => {});
      this.press();
    });
    segment.retain();
    this.#segment = segment;
    return segment;
  }

  async #pause(delayMs: number): Promise<void> {
    // It may have been closed while it wrote.
    if (this.#closed) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#deps.clock.setTimer(delayMs, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

/** Whether it is needed, and only in memory. */
function isWanted(chunk: Chunk): boolean {
  return (
    chunk.owner !== undefined && chunk.buffer !== undefined && chunk.place === undefined && !chunk.spilling
  );
}

class Segment implements SpillSegment {
  readonly file: SpillFile;
  /** Written so far. */
  bytes = 0;
  readonly #onUnused: () => void;
  #holders = 0;

  constructor(file: SpillFile, onUnused: () => void) {
    this.file = file;
    this.#onUnused = onUnused;
  }

  retain(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.#onUnused();
  }

  async read(into: Uint8Array, position: number): Promise<void> {
    try {
      await this.file.read(into, position);
    } catch (cause) {
      throw new JournalError(
        "spill-failed",
        `could not read appends back from their file: ${String(cause)}`,
        { cause },
      );
    }
  }
}
