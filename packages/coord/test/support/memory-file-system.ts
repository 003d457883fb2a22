import type { FileHandle, FileSystem } from "../../src/file-system.js";

/** What a power cut does to what was not synced. `keep` is asked once for each thing at stake. */
export type Keep = () => boolean;

interface PendingWrite {
  readonly position: number;
  readonly bytes: Uint8Array;
}

interface PendingTruncate {
  readonly size: number;
}

class File {
  content = new Uint8Array(0);
  durable = new Uint8Array(0);
  pending: (PendingWrite | PendingTruncate)[] = [];

  sync(): void {
    this.durable = this.content.slice();
    this.pending = [];
  }

  /** Writes reach the disk sector by sector, in any order. */
  cut(keep: Keep, sectorBytes: number): File {
    const file = new File();
    let content = this.durable.slice();
    for (const change of this.pending) {
      if ("size" in change) {
        if (keep()) content = resized(content, change.size);
        continue;
      }
      for (let at = 0; at < change.bytes.byteLength; at += sectorBytes) {
        if (!keep()) continue;
        const sector = change.bytes.subarray(at, at + sectorBytes);
        const end = change.position + at + sector.byteLength;
        if (end > content.byteLength) content = resized(content, end);
        content.set(sector, change.position + at);
      }
    }
    file.content = content;
    file.durable = content.slice();
    return file;
  }
}

type DirectoryChange =
  | { readonly type: "create"; readonly path: string; readonly file: File }
  | { readonly type: "rename"; readonly from: string; readonly to: string }
  | { readonly type: "remove"; readonly path: string };

/** Names and files, as processes see them and as a power cut would leave them. */
class Disk {
  files: Map<string, File> = new Map();
  durableNames: Map<string, File> = new Map();
  pendingNames: DirectoryChange[] = [];
}

/** Called before every operation; may throw, or never come back, or do something else in between. */
export type Hook = (operation: string, path: string) => Promise<void>;

/**
 * A disk in memory that knows what was synced: file contents by datasync, names by syncDirectory. `afterCut` gives the disk as
 * the next start finds it. Each object is one process's view of it, with a hook of its own.
 */
export class MemoryFileSystem implements FileSystem {
  readonly #disk: Disk;
  hook: Hook = async () => undefined;

  constructor(shared?: MemoryFileSystem) {
    this.#disk = shared === undefined ? new Disk() : shared.#disk;
  }

  async open(path: string, mode: "read" | "update" | "create"): Promise<FileHandle> {
    await this.hook(`open ${mode}`, path);
    const existing = this.#disk.files.get(path);
    if (mode === "create") {
      if (existing !== undefined) throw withCode("EEXIST", path);
      const file = new File();
      this.#disk.files.set(path, file);
      this.#disk.pendingNames.push({ type: "create", path, file });
      return this.#handle(path, file);
    }
    if (existing === undefined) throw withCode("ENOENT", path);
    return this.#handle(path, existing);
  }

  async list(directory: string): Promise<string[]> {
    await this.hook("list", directory);
    return [...this.#disk.files.keys()]
      .filter((path) => parentOf(path) === directory)
      .map((path) => path.slice(directory.length + 1));
  }

  async exists(path: string): Promise<boolean> {
    return this.#disk.files.has(path);
  }

  async makeDirectory(): Promise<void> {
    // Directories are implied by the paths.
  }

  async rename(from: string, to: string): Promise<void> {
    await this.hook("rename", from);
    apply(this.#disk.files, { type: "rename", from, to });
    this.#disk.pendingNames.push({ type: "rename", from, to });
  }

  async remove(path: string): Promise<void> {
    await this.hook("remove", path);
    apply(this.#disk.files, { type: "remove", path });
    this.#disk.pendingNames.push({ type: "remove", path });
  }

  async syncDirectory(path: string): Promise<void> {
    await this.hook("syncDirectory", path);
    this.#disk.durableNames = new Map(this.#disk.files);
    this.#disk.pendingNames = [];
  }

  async isLocal(): Promise<boolean> {
    return true;
  }

  /** Empties a folder, as somebody with a shell might. */
  wipe(): void {
    this.#disk.files.clear();
  }

  /** The content of a file, to be damaged. */
  contentOf(path: string): Uint8Array {
    const file = this.#disk.files.get(path);
    if (file === undefined) throw withCode("ENOENT", path);
    return file.content;
  }

  paths(): string[] {
    return [...this.#disk.files.keys()].sort();
  }

  /** The disk after a power cut at this moment. */
  afterCut(keep: Keep, sectorBytes = 512): MemoryFileSystem {
    const names = new Map(this.#disk.durableNames);
    for (const change of this.#disk.pendingNames) if (keep()) apply(names, change);
    const next = new MemoryFileSystem();
    for (const [path, file] of names) next.#disk.files.set(path, file.cut(keep, sectorBytes));
    next.#disk.durableNames = new Map(next.#disk.files);
    return next;
  }

  #handle(path: string, file: File): FileHandle {
    const hook = (operation: string): Promise<void> => this.hook(operation, path);
    return {
      async read(into, position) {
        const part = file.content.subarray(position, position + into.byteLength);
        into.set(part);
        return part.byteLength;
      },
      async write(parts, position) {
        await hook("write");
        const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
        let at = 0;
        for (const part of parts) {
          bytes.set(part, at);
          at += part.byteLength;
        }
        file.content = resized(file.content, Math.max(file.content.byteLength, position + bytes.byteLength));
        file.content.set(bytes, position);
        file.pending.push({ position, bytes });
      },
      async datasync() {
        await hook("datasync");
        file.sync();
      },
      async truncate(size) {
        await hook("truncate");
        file.content = resized(file.content, size);
        file.pending.push({ size });
      },
      async size() {
        return file.content.byteLength;
      },
      async close() {},
    };
  }
}

function apply(names: Map<string, File>, change: DirectoryChange): void {
  if (change.type === "create") {
    names.set(change.path, change.file);
  } else if (change.type === "remove") {
    names.delete(change.path);
  } else {
    const file = names.get(change.from);
    // On a real disk a rename of a name that was lost can't happen by itself.
    if (file === undefined) return;
    names.delete(change.from);
    names.set(change.to, file);
  }
}

function resized(content: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const next = new Uint8Array(size);
  next.set(content.subarray(0, size));
  return next;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function withCode(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
