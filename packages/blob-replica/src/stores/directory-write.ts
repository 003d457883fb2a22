import { dirname } from "node:path";
import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import { DirSyncer } from "./dir-syncer.js";
import type { DirectoryLayout } from "./directory-layout.js";
import type { DirectoryPorts } from "./directory-ports.js";
import { hasContent } from "./directory-read.js";
import type { DirectoryReader } from "./directory-reader.js";
import { systemCode } from "./file-errors.js";
import type { ReadableFile } from "./files.js";

/** A temporary file of a process that nobody can ask about is removed after a day. */
const leftoverMs = 24 * 60 * 60 * 1000;
const tries = 3;

/** Writes the blobs of one store. Callers see to it that there is one write of a ref at a time. */
export class DirectoryWriter {
  readonly #layout: DirectoryLayout;
  readonly #ports: DirectoryPorts;
  readonly #reader: DirectoryReader;
  readonly #create: boolean;
  readonly #syncer: DirSyncer;
  /** The folders, as `aa` and `aabb`, that are there and whose names survive a power cut. */
  readonly #durable = new Set<string>();
  readonly #prefix: string;
  #files = 0;
  #prepared: Promise<void> | undefined;

  constructor(
    layout: DirectoryLayout,
    ports: DirectoryPorts,
    { reader, create }: { readonly reader: DirectoryReader; readonly create: boolean },
  ) {
    this.#layout = layout;
    this.#ports = ports;
    this.#reader = reader;
    this.#create = create;
    this.#syncer = new DirSyncer(ports.files);
    this.#prefix = `${ports.process.token}-${Buffer.from(ports.random.bytes(8)).toString("hex")}`;
  }

  /** False when the blob is there, whole. Until it resolves the bytes must not change. */
  async write(ref: Ref, blob: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    const added = await this.#writeUnnamed(ref, blob, signal);
    // Also of one that is there: by another process, perhaps, which has not synced it.
    await this.syncNames(ref);
    return added;
  }

  async #writeUnnamed(ref: Ref, blob: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      try {
        const temporary = await this.stage(ref, blob, signal);
        if (temporary === undefined) return false;
        if (signal?.aborted) await this.discard(temporary);
        signal?.throwIfAborted();
        await this.publish(ref, temporary);
        return true;
      } catch (error) {
        // Somebody removed the folder, or took the temporary file for a leftover.
        if (systemCode(error) !== "ENOENT" || attempt === tries) throw error;
        this.#durable.delete(ref.slice(0, 4));
        this.#durable.delete(ref.slice(0, 2));
        this.#prepared = undefined;
      }
    }
  }

  /**
   * The first half of a write, for many at a time: the content in a temporary file, synced. Undefined when the blob is there, whole. `publish` or `discard` what it gives.
   * It is not tried again when somebody removes the folders meanwhile.
   */
  async stage(ref: Ref, blob: Uint8Array, signal: AbortSignal | undefined): Promise<string | undefined> {
    signal?.throwIfAborted();
    if (await this.#isThere(ref, blob, signal)) return undefined;
    signal?.throwIfAborted();
    await this.#prepare();
    signal?.throwIfAborted();
    return await this.#writeTemporary(blob);
  }

  /** The second half, but for `syncNames`: until that has resolved the blob may be gone after a power cut. */
  async publish(ref: Ref, temporary: string): Promise<void> {
    try {
      if (!this.#durable.has(ref.slice(0, 4))) await this.#ports.files.makeDir(this.#layout.folderOf(ref));
      await this.#ports.files.rename(temporary, this.#layout.fileOf(ref));
    } catch (error) {
      await this.discard(temporary);
      throw error;
    }
  }

  /** Never rejects. */
  async discard(temporary: string): Promise<void> {
    await this.#ports.files.remove(temporary).catch(() => {});
  }

  /** False when there was none. */
  async remove(ref: Ref): Promise<boolean> {
    try {
      await this.#ports.files.remove(this.#layout.fileOf(ref));
    } catch (error) {
      if (systemCode(error) === "ENOENT") return false;
      throw error;
    }
    for (const error of (await this.#syncer.sync([this.#layout.folderOf(ref)])).values()) throw error;
    return true;
  }

  /** Anything but the very content is not there: it is replaced. */
  async #isThere(ref: Ref, blob: Uint8Array, signal: AbortSignal | undefined): Promise<boolean> {
    let file: ReadableFile | undefined;
    try {
      file = await this.#reader.openIfThere(ref);
      if (file === undefined || !(await hasContent(file, blob, signal))) return false;
      await file.sync();
      return true;
    } catch {
      signal?.throwIfAborted();
      return false;
    } finally {
      await file?.close();
    }
  }

  async #writeTemporary(blob: Uint8Array): Promise<string> {
    const temporary = `${this.#layout.temporary}/${this.#prefix}-${this.#files++}`;
    try {
      await this.#ports.files.writeSynced(temporary, blob);
      return temporary;
    } catch (error) {
      await this.discard(temporary);
      throw error;
    }
  }

  /** The name of the blob, and those of the folders on the way to it that may be new. */
  async syncNames(ref: Ref): Promise<void> {
    const failures = await this.syncNamesOf([ref]);
    if (failures.has(ref)) throw failures.get(ref);
  }

  /** Of many at once: why those are not synced that are not. Never rejects. */
  async syncNamesOf(refs: readonly Ref[]): Promise<ReadonlyMap<Ref, unknown>> {
    const dirsOf = refs.map((ref) => this.#dirsToSync(ref));
    const failedDirs = await this.#syncer.sync(dirsOf.flat());
    const failures = new Map<Ref, unknown>();
    refs.forEach((ref, i) => {
      const dir = failedDirs.size === 0 ? undefined : dirsOf[i]?.find((dir) => failedDirs.has(dir));
      if (dir === undefined) this.#durable.add(ref.slice(0, 2)).add(ref.slice(0, 4));
      else failures.set(ref, failedDirs.get(dir));
    });
    return failures;
  }

  #dirsToSync(ref: Ref): string[] {
    const folder = this.#layout.folderOf(ref);
    const dirs = [folder];
    if (!this.#durable.has(ref.slice(0, 4))) dirs.push(dirname(folder));
    if (!this.#durable.has(ref.slice(0, 2))) dirs.push(this.#layout.blobs);
    return dirs;
  }

  /** Before the first write: the folders, and what a dead process left. A failure is for this write only. */
  #prepare(): Promise<void> {
    if (this.#prepared === undefined) {
      const prepared = this.#prepareNow();
      this.#prepared = prepared;
      prepared.catch(() => {
        if (this.#prepared === prepared) this.#prepared = undefined;
      });
    }
    return this.#prepared;
  }

  async #prepareNow(): Promise<void> {
    const { files } = this.#ports;
    const { root, blobs, temporary } = this.#layout;
    if (!this.#create && !(await files.isDir(root))) {
      throw new BlobError("unavailable", `there is no folder ${root}, and it may not be made`);
    }
    const first = await files.makeDir(blobs);
    await files.makeDir(temporary);
    await files.syncDir(root);
    if (first !== undefined) {
      for (let dir = root; dir.length >= first.length; dir = dirname(dir)) await files.syncDir(dirname(dir));
    }
    await this.#removeLeftovers();
  }

  async #removeLeftovers(): Promise<void> {
    const ports = this.#ports;
    const { files, clock } = ports;
    for (const name of await files.list(this.#layout.temporary)) {
      const [, token] = /^([0-9a-z.]+)-[0-9a-f]{16}-[0-9]+$/.exec(name) ?? [];
      if (token === undefined) continue; // not ours
      const path = `${this.#layout.temporary}/${name}`;
      try {
        const dead = ports.process.isDead(token);
        const age = dead === undefined ? clock.wallMs() - (await files.modifiedMs(path)) : 0;
        if (dead === true || age > leftoverMs) await files.remove(path);
      } catch {
        // Another process removes it, or it may not be removed: no reason to refuse a write.
      }
    }
  }
}
