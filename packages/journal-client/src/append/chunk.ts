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

  constructor(memory: ChunkMemory, owner: ChunkOwner, buffer: Buffer | undefined) {
    this.#memory = memory;
    this.owner = owner;
    this.buffer = buffer;
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
    this.buffer = undefined;
    this.#memory.give(buffer);
  }
}

/** What a chunk knows of its list. */
export interface ChunkOwner {
  /** The chunk that writes go to. */
  tail: Chunk | undefined;
}
