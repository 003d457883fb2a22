import type { ChunkMemory } from "./chunk-memory.js";

/** Where in a file the bytes of a chunk are. Each chunk that has one holds its segment. */
export interface SpillPlace {
  readonly segment: SpillSegment;
  readonly position: number;
}

export interface SpillSegment {
  retain(): void;
  release(): void;
  /** Fills `into` from `position`. @throws JournalError "spill-failed" */
  read(into: Uint8Array, position: number): Promise<void>;
}

/** A buffer that several chunks have parts of: none of them can give it back alone. */
interface SharedBuffer {
  readonly whole: Buffer;
  holders: number;
}

/** A run of bytes: in memory, in a file, or (while somebody still reads the memory) in both. */
export class Chunk {
  buffer: Buffer | undefined;
  used = 0;
  place: SpillPlace | undefined;
  /** The list it is in; undefined when it is not needed any more. */
  owner: ChunkOwner | undefined;
  /** A copy is on its way to a file. */
  spilling = false;
  /** Its memory is being sent. */
  pinned = false;
  readonly #memory: ChunkMemory;
  #shared: SharedBuffer | undefined;

  constructor(memory: ChunkMemory, owner: ChunkOwner, buffer: Buffer | undefined) {
    this.#memory = memory;
    this.owner = owner;
    this.buffer = buffer;
  }

  /** Makes what is behind `cut` a chunk of its own. Nothing is copied, and no memory taken: there may be none. */
  splitAt(cut: number, owner: ChunkOwner): Chunk {
    const rest = new Chunk(this.#memory, owner, undefined);
    const { buffer, place } = this;
    if (place !== undefined) {
      place.segment.retain();
      rest.place = { segment: place.segment, position: place.position + cut };
    } else if (buffer !== undefined) {
      const shared = this.#shared ?? { whole: buffer, holders: 1 };
      shared.holders++;
      this.#shared = shared;
      rest.#shared = shared;
      this.buffer = buffer.subarray(0, cut);
      rest.buffer = buffer.subarray(cut);
    }
    rest.used = this.used - cut;
    this.used = cut;
    return rest;
  }

  free(): void {
    this.owner = undefined;
    this.place?.segment.release();
    this.place = undefined;
    this.dropMemory();
  }

  /** Gives the memory back when nobody needs it. */
  dropMemory(): void {
    if (this.buffer === undefined || this.spilling || this.pinned) return;
    if (this.owner !== undefined && this.place === undefined) return;
    const { buffer } = this;
    const shared = this.#shared;
    this.buffer = undefined;
    this.#shared = undefined;
    if (shared === undefined) this.#memory.give(buffer);
    else if (--shared.holders === 0) this.#memory.give(shared.whole);
  }
}

/** What a chunk knows of its list. */
export interface ChunkOwner {
  /** The chunk that writes go to. */
  tail: Chunk | undefined;
}
