import type { FileHandle, FileSystem } from "@x/coord";
import { type Chance, SimulatedFile } from "./disk-file.js";
import { normalPath, parentOf, SimulatedNames } from "./disk-names.js";

export type DiskOperationKind =
  | "open"
  | "read"
  | "write"
  | "datasync"
  | "truncate"
  | "size"
  | "close"
  | "list"
  | "exists"
  | "makeDirectory"
  | "rename"
  | "remove"
  | "syncDirectory"
  | "isLocal";

export interface DiskOperation {
  readonly kind: DiskOperationKind;
  readonly path: string;
}

export interface SimulatedDiskOptions {
  /** All chance of the disk comes from here, so that a seed decides it. */
  readonly random: Chance;
  /** Calls back later: when it does decides the order in which operations take effect. */
  readonly schedule: (run: () => void, operation: DiskOperation) => void;
  /** What gets to the disk whole or not at all. Default: 512. */
  readonly sectorBytes?: number;
}

export interface MountOptions {
  /** Enters the process that uses the mount: a stopped one gets its results when it goes on. At once by default. */
  readonly deliver?: (run: () => void) => void;
  /**
   * The code of an error for an operation ("EIO", "ENOSPC"), or undefined. A failed write has written some of its bytes; a failed
   * sync has synced some sectors, and the others are lost to later syncs too.
   */
  readonly fault?: (operation: DiskOperation) => string | undefined;
  /** What `isLocal` answers. Default: true. */
  readonly isLocal?: boolean;
}

/** The disk as one process uses it. */
export interface SimulatedMount extends FileSystem {
  /** The process is killed: its operations never complete. What was under way may still take effect. */
  crash(): void;
}

interface Pending {
  readonly mount: Mount;
  /** Does what is left to do. */
  finish: () => void;
}

/**
 * A disk of one machine, for many processes, whose every operation takes effect when the scheduler says so. Given the same
 * chance and the same order it does the same.
 */
export class SimulatedDisk {
  readonly #options: SimulatedDiskOptions;
  readonly #names = new SimulatedNames();
  readonly #pending = new Set<Pending>();
  #stamp = 0;
  #generation = 0;

  constructor(options: SimulatedDiskOptions) {
    this.#options = options;
  }

  mount(options: MountOptions = {}): SimulatedMount {
    return new Mount(this, options);
  }

  /**
   * All processes die, and of everything unsynced any part may be gone: sectors, sizes, names. Operations under way may or
   * may not have happened. Mounts made before are dead.
   */
  powerCut(): void {
    const { random } = this.#options;
    for (const pending of [...this.#pending]) {
      pending.mount.isDead = true;
      this.#pending.delete(pending);
      if (random() < 0.5) pending.finish();
    }
    for (const file of this.#names.cutPower(random)) file.cutPower(random);
    this.#generation += 1;
  }

  /** Of mounts: rises with each power cut. */
  get generation(): number {
    return this.#generation;
  }

  /** The bytes of a file as readers see them, or undefined. */
  content(path: string): Buffer | undefined {
    const file = this.#names.get(normalPath(path));
    return file && Buffer.from(file.content);
  }

  paths(): string[] {
    return this.#names.paths();
  }

  /** Flips bits of one byte of a file, wherever it is kept. */
  damage(path: string, options: { readonly position: number; readonly mask: number }): void {
    this.#names.get(normalPath(path))?.damage(options.position, options.mask);
  }

  /** For mounts only. Never settles once the mount is dead. */
  operate<T>(mount: Mount, operation: DiskOperation, start: () => () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (mount.isDead || mount.generation !== this.#generation) return;
      const finish = start();
      let isDone = false;
      const pending: Pending = {
        mount,
        finish: () => {
          if (isDone) return;
          isDone = true;
          try {
            const value = finish();
            mount.deliver(() => resolve(value));
          } catch (error) {
            mount.deliver(() => reject(error));
          }
        },
      };
      this.#pending.add(pending);
      this.#options.schedule(() => {
        if (this.#pending.delete(pending)) pending.finish();
      }, operation);
    });
  }

  /** For mounts only. */
  crash(mount: Mount): void {
    mount.isDead = true;
    // What is already in the kernel goes on for a moment, or doesn't.
    for (const pending of [...this.#pending]) {
      if (pending.mount === mount && this.#options.random() < 0.5) this.#pending.delete(pending);
    }
  }

  get names(): SimulatedNames {
    return this.#names;
  }

  get random(): Chance {
    return this.#options.random;
  }

  nextStamp(): number {
    this.#stamp += 1;
    return this.#stamp;
  }

  get stamp(): number {
    return this.#stamp;
  }

  newFile(): SimulatedFile {
    return new SimulatedFile(this.sectorBytes);
  }

  get sectorBytes(): number {
    return this.#options.sectorBytes ?? 512;
  }
}

class Mount implements SimulatedMount {
  readonly disk: SimulatedDisk;
  readonly generation: number;
  readonly #options: MountOptions;
  isDead = false;

  constructor(disk: SimulatedDisk, options: MountOptions) {
    this.disk = disk;
    this.generation = disk.generation;
    this.#options = options;
  }

  crash(): void {
    this.disk.crash(this);
  }

  deliver(run: () => void): void {
    if (this.isDead) return;
    const enter = this.#options.deliver ?? ((inside: () => void) => inside());
    enter(() => {
      if (!this.isDead) run();
    });
  }

  fault(operation: DiskOperation): Error | undefined {
    const code = this.#options.fault?.(operation);
    return code === undefined ? undefined : diskError(code, operation);
  }

  /** An operation that on a fault does nothing. */
  simple<T>(kind: DiskOperationKind, path: string, effect: (normal: string) => T): Promise<T> {
    const operation = { kind, path };
    return this.disk.operate(this, operation, () => {
      const fault = this.fault(operation);
      return () => {
        if (fault) throw fault;
        return effect(normalPath(path));
      };
    });
  }

  open(path: string, mode: "read" | "update" | "create"): Promise<FileHandle> {
    const { disk } = this;
    return this.simple("open", path, (normal) => {
      const file = disk.names.get(normal);
      if (mode !== "create") {
        if (!file) throw diskError("ENOENT", { kind: "open", path });
        return new Handle(this, path, file);
      }
      if (!disk.names.isDirectory(parentOf(normal))) throw diskError("ENOENT", { kind: "open", path });
      if (file || disk.names.isDirectory(normal)) throw diskError("EEXIST", { kind: "open", path });
      const created = disk.newFile();
      disk.names.change(disk.nextStamp(), [[normal, created]]);
      return new Handle(this, path, created);
    });
  }

  list(directory: string): Promise<string[]> {
    return this.simple("list", directory, (normal) => this.disk.names.list(normal));
  }

  exists(path: string): Promise<boolean> {
    return this.simple(
      "exists",
      path,
      (normal) => this.disk.names.get(normal) !== undefined || this.disk.names.isDirectory(normal),
    );
  }

  makeDirectory(path: string): Promise<void> {
    return this.simple("makeDirectory", path, (normal) => this.disk.names.addDirectory(normal));
  }

  rename(from: string, to: string): Promise<void> {
    const { disk } = this;
    return this.simple("rename", from, (normalFrom) => {
      const file = disk.names.get(normalFrom);
      const normalTo = normalPath(to);
      if (!file || !disk.names.isDirectory(parentOf(normalTo)))
        throw diskError("ENOENT", { kind: "rename", path: `${from} -> ${to}` });
      if (normalFrom === normalTo) return;
      disk.names.change(disk.nextStamp(), [
        [normalTo, file],
        [normalFrom, undefined],
      ]);
    });
  }

  remove(path: string): Promise<void> {
    return this.simple("remove", path, (normal) => {
      if (this.disk.names.get(normal)) this.disk.names.change(this.disk.nextStamp(), [[normal, undefined]]);
    });
  }

  syncDirectory(path: string): Promise<void> {
    const { disk } = this;
    const operation: DiskOperation = { kind: "syncDirectory", path };
    return disk.operate(this, operation, () => {
      const fault = this.fault(operation);
      const stamp = disk.stamp;
      return () => {
        if (fault) throw fault;
        const normal = normalPath(path);
        if (!disk.names.isDirectory(normal)) throw diskError("ENOENT", operation);
        disk.names.sync(stamp, normal);
      };
    });
  }

  isLocal(path: string): Promise<boolean> {
    return this.simple("isLocal", path, () => this.#options.isLocal ?? true);
  }
}

class Handle implements FileHandle {
  readonly #mount: Mount;
  readonly #path: string;
  readonly #file: SimulatedFile;
  #isClosed = false;

  constructor(mount: Mount, path: string, file: SimulatedFile) {
    this.#mount = mount;
    this.#path = path;
    this.#file = file;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#simple("read", () => {
      const bytes = this.#file.content.subarray(position, position + into.length);
      into.set(bytes);
      return bytes.length;
    });
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const { disk } = this.#mount;
    // The kernel copies while it works; whoever changes the bytes meanwhile has a bug that this makes no worse.
    const bytes = Buffer.concat(parts);
    const operation: DiskOperation = { kind: "write", path: this.#path };
    // Somebody else may look when only the first part is there, or the power may go.
    const middle = disk.random() < 0.5 ? this.#someSectors(position, bytes.length) : 0;
    const put = (from: number, to: number): void => {
      if (to > from) this.#file.write(disk.nextStamp(), position + from, bytes.subarray(from, to));
    };
    if (middle > 0) await disk.operate(this.#mount, operation, () => () => put(0, middle));
    await disk.operate(this.#mount, operation, () => {
      const fault = this.#refusal(operation);
      return () => {
        if (fault) {
          put(middle, middle + this.#someSectors(position + middle, bytes.length - middle));
          throw fault;
        }
        put(middle, bytes.length);
      };
    });
  }

  datasync(): Promise<void> {
    const { disk } = this.#mount;
    const operation: DiskOperation = { kind: "datasync", path: this.#path };
    return disk.operate(this.#mount, operation, () => {
      const fault = this.#refusal(operation);
      // What is written while it runs need not be in it.
      const stamp = disk.stamp;
      return () => {
        if (!fault) {
          this.#file.sync(stamp);
          return;
        }
        this.#file.failSync(stamp, disk.random);
        throw fault;
      };
    });
  }

  truncate(size: number): Promise<void> {
    return this.#simple("truncate", () => this.#file.truncate(this.#mount.disk.nextStamp(), size));
  }

  size(): Promise<number> {
    return this.#simple("size", () => this.#file.size);
  }

  close(): Promise<void> {
    return this.#simple("close", () => {
      this.#isClosed = true;
    });
  }

  /** The length of a first part of a write that ends between two sectors. */
  #someSectors(position: number, length: number): number {
    const { random, sectorBytes } = this.#mount.disk;
    const end = position + Math.floor(random() * length);
    return Math.max(0, end - (end % sectorBytes) - position);
  }

  #refusal(operation: DiskOperation): Error | undefined {
    return this.#isClosed ? diskError("EBADF", operation) : this.#mount.fault(operation);
  }

  #simple<T>(kind: DiskOperationKind, effect: () => T): Promise<T> {
    const operation = { kind, path: this.#path };
    return this.#mount.disk.operate(this.#mount, operation, () => {
      const fault = this.#refusal(operation);
      return () => {
        if (fault) throw fault;
        return effect();
      };
    });
  }
}

function diskError(code: string, operation: DiskOperation): Error {
  return Object.assign(new Error(`${code}: ${operation.kind} '${operation.path}'`), { code });
}
