import type { Chance, SimulatedFile } from "./disk-file.js";

/** One call that changed names: as a whole it gets to the disk or does not. */
interface NameChange {
  readonly stamp: number;
  readonly bindings: readonly (readonly [path: string, file: SimulatedFile | undefined])[];
}

/**
 * The names of a simulated disk's files. Changes are durable when their directory was synced; a power cut keeps some of the
 * others, sometimes in order, as a journaling file system does, sometimes any of them, which is all that POSIX promises.
 */
export class SimulatedNames {
  #cached = new Map<string, SimulatedFile>();
  #durable = new Map<string, SimulatedFile>();
  #changes: NameChange[] = [];
  readonly #directories = new Set<string>([""]);

  get(path: string): SimulatedFile | undefined {
    return this.#cached.get(path);
  }

  paths(): string[] {
    return [...this.#cached.keys()];
  }

  isDirectory(path: string): boolean {
    return this.#directories.has(path);
  }

  /** With its parents, durable at once. */
  addDirectory(path: string): void {
    for (let at = path; !this.#directories.has(at); at = parentOf(at)) this.#directories.add(at);
  }

  list(directory: string): string[] {
    const names = new Set<string>();
    for (const path of [...this.#cached.keys(), ...this.#directories]) {
      if (path !== "" && parentOf(path) === directory)
        names.add(path.slice(directory === "" ? 0 : directory.length + 1));
    }
    return [...names];
  }

  change(stamp: number, bindings: NameChange["bindings"]): void {
    bind(this.#cached, bindings);
    this.#changes.push({ stamp, bindings });
  }

  sync(stamp: number, directory: string): void {
    // A rename between two directories takes with it what happened before in the other one, or names would come back later.
    const directories = new Set([directory]);
    for (let size = 0; size !== directories.size; ) {
      size = directories.size;
      for (const change of this.#changes) {
        if (change.stamp > stamp || !touches(change, directories)) continue;
        for (const [path] of change.bindings) directories.add(parentOf(path));
      }
    }
    const isSynced = (change: NameChange): boolean => change.stamp <= stamp && touches(change, directories);
    for (const change of this.#changes.filter(isSynced)) bind(this.#durable, change.bindings);
    this.#changes = this.#changes.filter((change) => !isSynced(change));
  }

  /** Gives the files that are left. */
  cutPower(chance: Chance): Set<SimulatedFile> {
    const inOrder = chance() < 0.5;
    const firstLost = Math.floor(chance() * (this.#changes.length + 1));
    for (const [i, change] of this.#changes.entries()) {
      const kept = inOrder ? i < firstLost : chance() < 0.5;
      if (kept) bind(this.#durable, change.bindings);
    }
    this.#changes = [];
    this.#cached = new Map(this.#durable);
    return new Set(this.#durable.values());
  }
}

function touches(change: NameChange, directories: ReadonlySet<string>): boolean {
  return change.bindings.some(([path]) => directories.has(parentOf(path)));
}

function bind(names: Map<string, SimulatedFile>, bindings: NameChange["bindings"]): void {
  for (const [path, file] of bindings) {
    if (file) names.set(path, file);
    else names.delete(path);
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** One spelling for each path: `/a//b/` is `a/b`. Dots would need more care than anybody needs here. */
export function normalPath(path: string): string {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}
