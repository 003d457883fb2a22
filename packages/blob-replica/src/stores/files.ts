/** What the directory store asks of a file system. Errors are those of the system, with their `code`. */
export interface StoreFiles {
  openForReading(path: string): Promise<ReadableFile>;
  /** The same, blocking: several times cheaper where the folders are in memory. Undefined when there is none, or no folder for it, since an error costs more than the call. */
  openNow(path: string): ReadableFile | undefined;
  /** A new file. Fails when there is one. */
  create(path: string): Promise<WritableFile>;
  /** A new file with all of the bytes, which survive a power cut when it resolves; its name may not. Fails when there is one; what it has written then is for the caller to remove. */
  writeSynced(path: string, bytes: Uint8Array): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** With those above it. Resolves with the first that had to be made, or undefined when all were there. */
  makeDir(path: string): Promise<string | undefined>;
  /** The names in a folder, in no order. */
  list(path: string): Promise<string[]>;
  /** Until names that were made, changed or removed in the folder survive a power cut. */
  syncDir(path: string): Promise<void>;
  isDir(path: string): Promise<boolean>;
  /** Milliseconds since the epoch. */
  modifiedMs(path: string): Promise<number>;
  /** Blocks for one read from the start of the file, and returns how many bytes it gave: fewer than there are, perhaps. Several times cheaper for small files in the page cache. */
  readNow(path: string, into: Uint8Array): number;
}

export interface ReadableFile {
  readonly bytes: number;
  /** How many bytes were read; 0 at the end. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Until the content survives a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface WritableFile {
  /** All of the bytes, at the end. */
  append(bytes: Uint8Array): Promise<void>;
  /** Until what was appended survives a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
