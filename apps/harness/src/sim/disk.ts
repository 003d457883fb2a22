import type { FileSystem } from "@x/coord";
import { type Chance, SimulatedFile } from "./disk-file.js";
import { Mount } from "./disk-mount.js";
import { normalPath, SimulatedNames } from "./disk-names.js";

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
  /** As `exists`, at once. By another name than that of the port, which is for those that say so. */
  isThereNow(path: string): boolean;
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
