import type { Clock, Random } from "../src/clock.js";
import { BlobError, type BlobStore, memoryStore, type QueueFiles, type Ref, refOf } from "../src/index.js";

/** Lets all that is ready run: whatever waits for nothing but promises is done after it. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

export class FakeClock implements Clock {
  #nowMs = 0;
  #next = 0;
  readonly #timers = new Map<number, { readonly atMs: number; readonly callback: () => void }>();

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const id = this.#next++;
    this.#timers.set(id, { atMs: this.#nowMs + Math.max(0, delayMs), callback });
    return () => this.#timers.delete(id);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Fires what is due, in order, and lets each take its effect. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      let first: [number, { readonly atMs: number; readonly callback: () => void }] | undefined;
      for (const each of this.#timers) if (!first || each[1].atMs < first[1].atMs) first = each;
      if (!first || first[1].atMs > endMs) break;
      this.#timers.delete(first[0]);
      this.#nowMs = Math.max(this.#nowMs, first[1].atMs);
      first[1].callback();
      await settle();
    }
    this.#nowMs = endMs;
    await settle();
  }
}

/** Always the longest wait. */
export const noChance: Random = { number: () => 1, bytes: (count) => new Uint8Array(count) };

export function blobOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export const absent: Ref = refOf(blobOf("nobody has put this"));

type Operation = "get" | "put" | "list" | "delete" | "has";

/** A store in memory whose calls fail, hang and lie as told. It has no optional methods but `delete`, unless `many`. */
export class FaultyStore implements BlobStore {
  readonly inner: BlobStore = memoryStore();
  /** What it throws, by operation; a function decides for each ref. */
  readonly faults = new Map<Operation, unknown | ((ref: Ref) => unknown)>();
  /** Operations that wait for `release`, or for their signal. */
  readonly hanging = new Set<Operation>();
  /** It answers with these instead of what it has. */
  readonly lies = new Map<Ref, Uint8Array>();
  readonly calls: Record<Operation, number> = { get: 0, put: 0, list: 0, delete: 0, has: 0 };
  running = 0;
  mostRunning = 0;
  aborted = 0;
  #release = () => {};
  #released = new Promise<void>((resolve) => {
    this.#release = resolve;
  });
  readonly putMany?: BlobStore["putMany"];

  constructor(options: { readonly many?: boolean } = {}) {
    if (options.many) {
      this.putMany = (blobs, { signal, refs, frozen } = {}) =>
        this.#enter("put", refs![0]!, signal, async () => {
          const results = [];
          for (const [i, blob] of blobs.entries()) {
            const ref = refs![i]!;
            const fault = this.#fault("put", ref);
            results.push(
              fault === undefined
                ? await this.inner.put(blob, { ref, ...(frozen && { frozen }) })
                : { ref, error: fault },
            );
          }
          return results;
        });
    }
  }

  down(error: unknown = new BlobError("unavailable", "it is down")): void {
    for (const operation of ["get", "put", "list", "delete", "has"] as const)
      this.faults.set(operation, error);
  }

  up(): void {
    this.faults.clear();
    this.hanging.clear();
    this.release();
  }

  release(): void {
    this.#release();
    this.#released = new Promise<void>((resolve) => {
      this.#release = resolve;
    });
  }

  #fault(operation: Operation, ref: Ref | undefined): unknown {
    const fault = this.faults.get(operation);
    return typeof fault === "function" ? fault(ref) : fault;
  }

  async #enter<T>(
    operation: Operation,
    ref: Ref | undefined,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    this.calls[operation]++;
    this.running++;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    try {
      signal?.throwIfAborted();
      if (this.hanging.has(operation)) {
        let onAbort = () => {};
        const stopped = new Promise<never>((_, reject) => {
          onAbort = () => {
            this.aborted++;
            reject(signal?.reason);
          };
          signal?.addEventListener("abort", onAbort, { once: true });
        });
        try {
          await Promise.race([this.#released, stopped]);
        } finally {
          signal?.removeEventListener("abort", onAbort);
        }
      }
      const fault = operation === "put" && this.putMany ? undefined : this.#fault(operation, ref);
      if (fault !== undefined) throw fault;
      return await work();
    } finally {
      this.running--;
    }
  }

  get(ref: Ref, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    return this.#enter(
      "get",
      ref,
      options.signal,
      async () => this.lies.get(ref)?.slice() ?? (await this.inner.get(ref)),
    );
  }

  put(
    blob: Uint8Array,
    options: { readonly signal?: AbortSignal; readonly ref?: Ref; readonly frozen?: boolean } = {},
  ) {
    return this.#enter("put", options.ref, options.signal, async () => {
      const fault = this.#fault("put", options.ref);
      if (fault !== undefined) throw fault;
      const { signal: _, ...rest } = options;
      const result = await this.inner.put(blob, rest);
      this.lies.delete(result.ref);
      return result;
    });
  }

  async *listRefs(
    after?: Ref,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Ref, void, undefined> {
    await this.#enter("list", undefined, options.signal, async () => {});
    yield* this.inner.listRefs(after, options);
  }

  delete(ref: Ref, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return this.#enter("delete", ref, options.signal, async () => (await this.inner.delete?.(ref)) ?? false);
  }

  has(ref: Ref, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return this.#enter("has", ref, options.signal, async () => (await this.inner.has?.(ref)) ?? false);
  }

  async holds(ref: Ref): Promise<boolean> {
    return (await this.inner.has?.(ref)) ?? false;
  }
}

interface FakeFile {
  bytes: number[];
  synced: number;
}

/** Files in memory that can lose what was not synced, and fail. */
export class FakeFiles implements QueueFiles {
  #names = new Map<string, FakeFile>();
  #durable = new Map<string, FakeFile>();
  readonly faults = new Map<"append" | "sync" | "create" | "rename" | "syncDir" | "list", unknown>();
  syncs = 0;
  appended = 0;
  /** Handles of a process that has died do nothing any more. */
  #life = 0;

  #check(life: number, operation: "append" | "sync" | "create" | "rename" | "syncDir" | "list"): void {
    if (life !== this.#life) throw new Error("this process has died");
    if (this.faults.has(operation)) throw this.faults.get(operation);
  }

  async openForReading(path: string) {
    const file = this.#find(path);
    return {
      bytes: file.bytes.length,
      read: async (into: Uint8Array, position: number) => {
        const part = file.bytes.slice(position, position + into.length);
        into.set(part);
        return part.length;
      },
      sync: async () => {},
      close: async () => {},
    };
  }

  #find(path: string): FakeFile {
    const file = this.#names.get(path);
    if (!file) throw Object.assign(new Error(`no file ${path}`), { code: "ENOENT" });
    return file;
  }

  async create(path: string) {
    const life = this.#life;
    this.#check(life, "create");
    if (this.#names.has(path)) throw Object.assign(new Error(`there is a file ${path}`), { code: "EEXIST" });
    const file: FakeFile = { bytes: [], synced: 0 };
    this.#names.set(path, file);
    return {
      append: async (bytes: Uint8Array) => {
        await undefined;
        if (life === this.#life && this.faults.has("append")) {
          // Half of it is there.
          for (const byte of bytes.subarray(0, bytes.length >> 1)) file.bytes.push(byte);
        }
        this.#check(life, "append");
        for (const byte of bytes) file.bytes.push(byte);
        this.appended += bytes.length;
      },
      sync: async () => {
        await undefined;
        this.#check(life, "sync");
        file.synced = file.bytes.length;
        this.syncs++;
      },
      close: async () => {},
    };
  }

  async rename(from: string, to: string): Promise<void> {
    this.#check(this.#life, "rename");
    const file = this.#find(from);
    this.#names.delete(from);
    this.#names.set(to, file);
  }

  async remove(path: string): Promise<void> {
    this.#find(path);
    this.#names.delete(path);
  }

  async makeDir(): Promise<string | undefined> {
    return undefined;
  }

  async list(dir: string): Promise<string[]> {
    this.#check(this.#life, "list");
    return [...this.#names.keys()]
      .filter((path) => path.startsWith(`${dir}/`))
      .map((path) => path.slice(dir.length + 1));
  }

  async syncDir(): Promise<void> {
    this.#check(this.#life, "syncDir");
    this.#durable = new Map(this.#names);
  }

  async modifiedMs(path: string): Promise<number> {
    this.#find(path);
    return 0;
  }

  /** kill -9: what was written is there. */
  kill(): void {
    this.#life++;
    this.faults.clear();
  }

  /** A power cut: what was not synced is there in part. `share`: from 0 to 1. */
  powerCut(share: () => number): void {
    this.kill();
    this.#names = new Map(share() < 0.5 ? this.#durable : this.#names);
    for (const file of this.#names.values()) {
      file.bytes.length = file.synced + Math.floor((file.bytes.length - file.synced) * share());
      file.synced = file.bytes.length;
    }
    this.#durable = new Map(this.#names);
  }

  contents(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#names].map(([path, { bytes }]) => [path, Uint8Array.from(bytes)]));
  }

  /** As if the disk had been copied. */
  static from(contents: ReadonlyMap<string, Uint8Array>): FakeFiles {
    const files = new FakeFiles();
    for (const [path, bytes] of contents) files.#names.set(path, { bytes: [...bytes], synced: bytes.length });
    files.#durable = new Map(files.#names);
    return files;
  }
}
