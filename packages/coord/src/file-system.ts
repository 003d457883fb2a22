/**
 * The few calls of a file system that a durable log needs, as a port, so that power cuts can be simulated.
 * Paths are absolute or relative to wherever the implementation is rooted; "/" separates.
 */
export interface FileHandle {
  /** Fills `into` from `position` and gives the number of bytes read, short only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all the parts one after the other from `position`. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  /** fdatasync: on return everything written before is durable. A failure leaves it unknown, for ever: never retry. */
  datasync(): Promise<void>;
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface FileSystem {
  /**
   * "read" and "update" need the file, "create" needs it not to be there.
   * @throws an error with `code` "ENOENT" or "EEXIST"
   */
  open(path: string, mode: "read" | "update" | "create"): Promise<FileHandle>;
  /** Names in a directory, in no order; [] when it is missing. */
  list(directory: string): Promise<string[]>;
  exists(path: string): Promise<boolean>;
  /** With its parents; each new directory is made durable in its parent. */
  makeDirectory(path: string): Promise<void>;
  /** Replaces `to` if it is there. Durable only after syncDirectory. */
  rename(from: string, to: string): Promise<void>;
  /** A missing file is fine. Durable only after syncDirectory. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** Whether the path is on a file system of this host, where exclusive creation and fsync mean what they say (not NFS, SMB, 9p, ...). */
  isLocal(path: string): Promise<boolean>;
}
