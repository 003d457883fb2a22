import type { FileHandle } from "@x/coord";
import type {
  DiskOperation,
  DiskOperationKind,
  MountOptions,
  SimulatedDisk,
  SimulatedMount,
} from "./disk.js";
import type { SimulatedFile } from "./disk-file.js";
import { normalPath, parentOf } from "./disk-names.js";

/** Operations that take effect when the disk's scheduler says so, and never complete once their process is dead. */
export class Mount implements SimulatedMount {
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
    return this.simple("exists", path, (normal) => this.#isThere(normal));
  }

  isThereNow(path: string): boolean {
    const fault = this.fault({ kind: "exists", path });
    if (fault) throw fault;
    return this.#isThere(normalPath(path));
  }

  #isThere(normal: string): boolean {
    const { names } = this.disk;
    return names.get(normal) !== undefined || names.isDirectory(normal);
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
