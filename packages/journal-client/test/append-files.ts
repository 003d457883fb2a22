import assert from "node:assert/strict";
import type { SpillFile, SpillFiles } from "../src/index.js";

const all: FakeFiles[] = [];

/** After each test: whether its files were used as files may be used. An error would not be seen by the test itself: a spill takes it for the disk's. */
export function checkFiles(): void {
  for (const { faults } of all.splice(0)) assert.deepEqual(faults, []);
}

/** Files in memory, that fail as planned. */
export class FakeFiles implements SpillFiles {
  readonly live = new Set<SpillFile>();
  readonly names: string[] = [];
  /** What was done to files that must not be. */
  readonly faults: string[] = [];
  created = 0;
  writes: number[] = [];
  sweeps = 0;
  /** Writes wait for it. */
  gate: Promise<void> = Promise.resolve();
  /** Asked before each operation. */
  plan: (operation: "create" | "write" | "read") => Error | undefined = () => undefined;

  constructor() {
    all.push(this);
  }

  async sweep(): Promise<void> {
    this.sweeps++;
  }

  async create(_dir: string, name: string): Promise<SpillFile> {
    const failure = this.plan("create");
    if (failure !== undefined) throw failure;
    this.created++;
    this.names.push(name);
    let bytes = Buffer.alloc(0);
    const require = (fine: boolean, fault: string): void => {
      if (fine) return;
      this.faults.push(fault);
      throw new Error(fault);
    };
    const file: SpillFile = {
      write: async (parts, position) => {
        require(this.live.has(file), "written to when it was closed");
        await new Promise(setImmediate);
        await this.gate;
        require(this.live.has(file), "closed while it was written to");
        const content = Buffer.concat(parts);
        const error = this.plan("write");
        // A failed write may have left a part of it.
        const kept = error === undefined ? content : content.subarray(0, content.length / 2);
        const grown = Buffer.alloc(Math.max(bytes.length, position + kept.length));
        bytes.copy(grown);
        kept.copy(grown, position);
        bytes = grown;
        if (error !== undefined) throw error;
        this.writes.push(content.length);
      },
      read: async (into, position) => {
        await new Promise(setImmediate);
        const error = this.plan("read");
        if (error !== undefined) throw error;
        require(this.live.has(file), "read when it was closed");
        require(position + into.length <= bytes.length, "read behind its end");
        into.set(bytes.subarray(position, position + into.length));
      },
      close: async () => {
        require(this.live.delete(file), "closed twice");
      },
    };
    this.live.add(file);
    return file;
  }
}
