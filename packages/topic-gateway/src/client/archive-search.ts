import { TopicError } from "../errors.js";
import { type Frame, messagesInFrames } from "../protocol/frame.js";
import { keyOfBody } from "../protocol/message.js";
import type { SegmentArchive } from "../protocol/segment-archive.js";
import { archiveName } from "../protocol/segment-id.js";
import type { SegmentView } from "../topics/state.js";
import type { Found } from "./key-search.js";

/** How many archived segments one call reads at a time: each is read whole. */
const MAX_READS = 4;

/** Looks for keys in archived segments, a few segments at a time. */
export class ArchiveSearch {
  readonly #archive: SegmentArchive | undefined;
  readonly #signal: AbortSignal;
  #free = MAX_READS;
  readonly #waiting: (() => void)[] = [];

  constructor(archive: SegmentArchive | undefined, signal: AbortSignal) {
    this.#archive = archive;
    this.#signal = signal;
  }

  /** The newest message of each of the keys that the segment has, which is read once for all of them. */
  async newest(segment: SegmentView, keys: ReadonlySet<string>): Promise<ReadonlyMap<string, Found>> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await this.#read(segment, keys);
    } finally {
      // Handed over, so that nobody who comes just now is one too many.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }

  async #read({ id, record }: SegmentView, keys: ReadonlySet<string>): Promise<ReadonlyMap<string, Found>> {
    this.#signal.throwIfAborted();
    const newest = new Map<string, Found>();
    if (!this.#archive) {
      throw new TopicError(
        "unavailable",
        `the segment ${id.startTime} is archived, and this client has no archive`,
      );
    }
    if (!record?.sealed || record.sealed.lastSequence === 0) return newest;
    const options = { lastSequence: record.sealed.lastSequence, signal: this.#signal };
    for await (const chunk of this.#archive.read(archiveName(id, record.incarnation), options)) {
      const inChunk = new Map<string, Frame>();
      for (const frame of messagesInFrames(chunk.frames)) {
        const key = keyOfBody(frame.body);
        if (keys.has(key)) inChunk.set(key, frame);
      }
      for (const [key, frame] of inChunk) newest.set(key, { segment: id, frame: withOwnBody(frame) });
    }
    return newest;
  }
}

/** Without the chunk that it came in: that is much larger, and whoever keeps the message would keep it. */
function withOwnBody(frame: Frame): Frame {
  const body = Buffer.allocUnsafeSlow(frame.body.length);
  body.set(frame.body);
  return { ...frame, body };
}
