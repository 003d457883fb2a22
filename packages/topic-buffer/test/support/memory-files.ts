import type { FileHandle, FileSystem } from "@x/coord";

/** Files in memory, all of them durable at once. Directories are implied by the paths. */
export class MemoryFiles implements FileSystem {
  readonly #files: Map<string, { bytes: Buffer }> = new Map();

  async open(path: string, mode: "read" | "update" | "create"): Promise<FileHandle> {
    const existing = this.#files.get(path);
    if (mode === "create" && existing) throw Object.assign(new Error(`EEXIST: ${path}`), { code: "EEXIST" });
    if (mode !== "create" && !existing) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    const file = existing ?? { bytes: Buffer.alloc(0) };
    this.#files.set(path, file);
    const resize = (size: number): void => {
      const next = Buffer.alloc(size);
      file.bytes.copy(next);
      file.bytes = next;
    };
    return {
      read: async (into, position) => file.bytes.copy(into, 0, position),
      write: async (parts, position) => {
        const bytes = Buffer.concat(parts);
        if (position + bytes.length > file.bytes.length) resize(position + bytes.length);
        bytes.copy(file.bytes, position);
      },
      datasync: async () => {},
      truncate: async (size) => resize(size),
      size: async () => file.bytes.length,
      close: async () => {},
    };
  }

  async list(directory: string): Promise<string[]> {
    const under = [...this.#files.keys()].filter((path) => path.startsWith(`${directory}/`));
    return [...new Set(under.map((path) => path.slice(directory.length + 1).split("/")[0] as string))];
  }

  async exists(path: string): Promise<boolean> {
    return this.#files.has(path);
  }

  async makeDirectory(): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    const file = this.#files.get(from);
    if (!file) throw Object.assign(new Error(`ENOENT: ${from}`), { code: "ENOENT" });
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  async remove(path: string): Promise<void> {
    this.#files.delete(path);
  }

  async syncDirectory(): Promise<void> {}

  async isLocal(): Promise<boolean> {
    return true;
  }
}
