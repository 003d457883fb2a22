/** A file that holds appends while they do not fit in memory. One write at a time; reads may overlap. */
export interface SpillFile {
  /** Writes all of the parts, one behind the other, from `position`. After a failure it is called again with the same position. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** Fills `into` from `position`. */
  read(into: Uint8Array, position: number): Promise<void>;
  /** Closes it, and frees its room on the disk. */
  close(): Promise<void>;
}

/** The file system, as far as spilling needs it. */
export interface SpillFiles {
  /** Makes a new, empty file of that name; `dir` too when it is missing. */
  create(dir: string, name: string): Promise<SpillFile>;
  /** Removes files whose names match and which no living process needs. Never rejects. */
  sweep(dir: string, names: RegExp): Promise<void>;
}
