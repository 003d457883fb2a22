import type { Random } from "../../src/clock.js";
import type { ReadableFile, StoreFiles, WritableFile } from "../../src/stores/files.js";

interface File {
  readonly kind: "file";
  bytes: Buffer;
  synced: Buffer;
}

interface Dir {
  readonly kind: "dir";
  readonly entries: Map<string, File | Dir>;
  /** What a power cut leaves for sure. */
  synced: Map<string, File | Dir>;
}

function newDir(): Dir {
  return { kind: "dir", entries: new Map(), synced: new Map() };
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

/**
 * A file system in memory that forgets on a power cut what POSIX lets it forget: content of files that were not synced, in part or whole, and each change of a folder
 * that was not synced, independently of the others.
 */
export class PowerCutFiles implements StoreFiles {
  #root: Dir = newDir();
  /** Every call, as "rename /a/b". */
  readonly calls: string[] = [];
  /** Called before each; what it throws fails the call. */
  onCall: (call: string) => void = () => {};

  async openForReading(path: string): Promise<ReadableFile> {
    return this.#opened("open", path);
  }

  openNow(path: string): ReadableFile | undefined {
    try {
      return this.#opened("openNow", path);
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === "ENOENT") return undefined;
      throw error;
    }
  }

  #opened(what: string, path: string): ReadableFile {
    this.#call(what, path);
    const file = this.#file(path);
    return {
      bytes: file.bytes.length,
      read: async (into, position) => {
        this.#call("read", path);
        return file.bytes.copy(into, 0, position);
      },
      sync: async () => {
        this.#call("sync", path);
        file.synced = Buffer.from(file.bytes);
      },
      close: async () => {},
    };
  }

  async create(path: string): Promise<WritableFile> {
    this.#call("create", path);
    const { dir, name } = this.#parent(path);
    if (dir.entries.has(name)) throw failure("EEXIST", path);
    const file: File = { kind: "file", bytes: Buffer.alloc(0), synced: Buffer.alloc(0) };
    dir.entries.set(name, file);
    return {
      append: async (bytes) => {
        this.#call("append", path);
        file.bytes = Buffer.concat([file.bytes, bytes]);
      },
      sync: async () => {
        this.#call("sync", path);
        file.synced = Buffer.from(file.bytes);
      },
      close: async () => {},
    };
  }

  async writeSynced(path: string, bytes: Uint8Array): Promise<void> {
    const file = await this.create(path);
    await file.append(bytes);
    await file.sync();
    await file.close();
  }

  async rename(from: string, to: string): Promise<void> {
    this.#call("rename", to);
    const source = this.#parent(from);
    const target = this.#parent(to);
    const node = source.dir.entries.get(source.name);
    if (node === undefined) throw failure("ENOENT", from);
    source.dir.entries.delete(source.name);
    target.dir.entries.set(target.name, node);
  }

  async remove(path: string): Promise<void> {
    this.#call("remove", path);
    const { dir, name } = this.#parent(path);
    if (!dir.entries.delete(name)) throw failure("ENOENT", path);
  }

  async makeDir(path: string): Promise<string | undefined> {
    this.#call("makeDir", path);
    let first: string | undefined;
    let dir = this.#root;
    let at = "";
    for (const name of path.split("/").filter(Boolean)) {
      at += `/${name}`;
      let next = dir.entries.get(name);
      if (next === undefined) {
        next = newDir();
        dir.entries.set(name, next);
        first ??= at;
      }
      if (next.kind === "file") throw failure("ENOTDIR", at);
      dir = next;
    }
    return first;
  }

  async list(path: string): Promise<string[]> {
    this.#call("list", path);
    return [...this.#dir(path).entries.keys()];
  }

  async syncDir(path: string): Promise<void> {
    this.#call("syncDir", path);
    const dir = this.#dir(path);
    dir.synced = new Map(dir.entries);
  }

  async isDir(path: string): Promise<boolean> {
    this.#call("isDir", path);
    return this.#find(path)?.kind === "dir";
  }

  async modifiedMs(path: string): Promise<number> {
    this.#file(path);
    return 0;
  }

  readNow(path: string, into: Uint8Array): number {
    return this.#file(path).bytes.copy(into);
  }

  /** What is there when the power comes back. */
  afterPowerCut(random: Random): PowerCutFiles {
    const after = new PowerCutFiles();
    after.#root = survivors(this.#root, random, new Map());
    return after;
  }

  #call(what: string, path: string): void {
    this.calls.push(`${what} ${path}`);
    this.onCall(`${what} ${path}`);
  }

  #find(path: string): File | Dir | undefined {
    let node: File | Dir | undefined = this.#root;
    for (const name of path.split("/").filter(Boolean)) {
      if (node?.kind !== "dir") return undefined;
      node = node.entries.get(name);
    }
    return node;
  }

  #dir(path: string): Dir {
    const node = this.#find(path);
    if (node === undefined) throw failure("ENOENT", path);
    if (node.kind === "file") throw failure("ENOTDIR", path);
    return node;
  }

  #file(path: string): File {
    const node = this.#find(path);
    if (node === undefined) throw failure("ENOENT", path);
    if (node.kind === "dir") throw failure("EISDIR", path);
    return node;
  }

  #parent(path: string): { dir: Dir; name: string } {
    const at = path.lastIndexOf("/");
    return { dir: this.#dir(path.slice(0, at)), name: path.slice(at + 1) };
  }
}

function survivors(dir: Dir, random: Random, files: Map<File, File>): Dir {
  const left = newDir();
  for (const name of new Set([...dir.synced.keys(), ...dir.entries.keys()])) {
    // The change of this name was written, or was not.
    const node = (random.number() < 0.5 ? dir.synced : dir.entries).get(name);
    if (node === undefined) continue;
    left.entries.set(
      name,
      node.kind === "dir" ? survivors(node, random, files) : survivor(node, random, files),
    );
  }
  left.synced = new Map(left.entries);
  return left;
}

function survivor(file: File, random: Random, files: Map<File, File>): File {
  let left = files.get(file);
  if (left === undefined) {
    const bytes = Buffer.from(file.bytes);
    if (!file.synced.equals(file.bytes)) {
      // Of what was appended since the last sync the length came through and some of the bytes did not, or some of the length did.
      const safe = file.synced.length;
      const more = bytes.length - safe;
      if (random.number() < 0.5) bytes.fill(0, safe + Math.floor(random.number() * more));
      left = {
        kind: "file",
        bytes: bytes.subarray(0, safe + Math.ceil(random.number() * more)),
        synced: bytes,
      };
    } else {
      left = { kind: "file", bytes, synced: bytes };
    }
    left.synced = left.bytes;
    files.set(file, left);
  }
  return left;
}
