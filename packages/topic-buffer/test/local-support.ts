import assert from "node:assert/strict";
import {
  encodeBody,
  encodeHeaderFrame,
  encodeLogHeader,
  encodeMessageFrames,
  type FrameChain,
  type FrameChunk,
  logName,
  TopicError,
  type TopicErrorCode,
} from "@x/topic-gateway/protocol";
import { type DiskOperation, SimulatedDisk } from "../../../apps/harness/src/sim/disk.js";
import type { LogFileSystem } from "../src/local/log-files.js";

/** Mulberry32 (Tommy Ettinger, public domain): small, and good enough to choose what a test does. */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Step {
  readonly run: () => void;
  readonly operation: DiskOperation;
  /** Whose it is. */
  readonly actor: number;
}

/**
 * A disk whose operations wait until the test lets one of them happen. Promises that follow from it run to their end before
 * the next.
 */
export class SteppedDisk {
  readonly disk: SimulatedDisk;
  readonly chance: () => number;
  readonly waiting: Step[] = [];
  steps = 0;
  #actor = 0;

  constructor(seed: number, options: { readonly chance?: () => number } = {}) {
    this.chance = options.chance ?? chanceOf(seed);
    this.disk = new SimulatedDisk({
      random: this.chance,
      schedule: (run, operation) => this.waiting.push({ run, operation, actor: this.#actor }),
    });
  }

  /** What is started in here, and what follows from it, counts as done by this actor. */
  async as(actor: number, start: () => void): Promise<void> {
    this.#actor = actor;
    start();
    await drained();
  }

  async step(index: number): Promise<void> {
    const [step] = this.waiting.splice(index, 1);
    this.steps += 1;
    this.#actor = (step as Step).actor;
    (step as Step).run();
    await drained();
  }

  /** Lets operations happen until all is done, in the given order (a random one by default); stops early if `until` says so. */
  async run(
    options: { readonly choose?: (waiting: readonly Step[]) => number; readonly until?: () => boolean } = {},
  ): Promise<void> {
    const choose = options.choose ?? ((waiting) => Math.floor(this.chance() * waiting.length));
    await drained();
    while (this.waiting.length > 0 && !options.until?.()) await this.step(choose(this.waiting));
  }

  /** Runs to the end of one task, in order. */
  async finish<T>(task: Promise<T>): Promise<T> {
    let isDone = false;
    const settled = task.then(
      () => {},
      () => {},
    );
    void settled.then(() => {
      isDone = true;
    });
    await drained();
    while (!isDone) {
      assert.ok(this.waiting.length > 0, "the task waits for nothing that the disk does");
      await this.step(0);
    }
    return task;
  }

  /** A mount with the shorter ways of a machine's file system: writes that are durable on return, names looked at in no time. */
  mountWithShortWays(options: Parameters<SimulatedDisk["mount"]>[0] = {}): LogFileSystem {
    const mount = this.disk.mount(options);
    return {
      open: (path, mode) => mount.open(path, mode),
      list: (directory) => mount.list(directory),
      exists: (path) => mount.exists(path),
      makeDirectory: (path) => mount.makeDirectory(path),
      rename: (from, to) => mount.rename(from, to),
      remove: (path) => mount.remove(path),
      syncDirectory: (path) => mount.syncDirectory(path),
      isLocal: (path) => mount.isLocal(path),
      openDurable: async (path) => {
        const file = await mount.open(path, "update");
        return {
          write: async (bytes, position) => {
            await file.write([bytes], position);
            await file.datasync();
          },
          close: () => file.close(),
        };
      },
      existsNow: (path) => mount.isThereNow(path),
    };
  }

  powerCut(): void {
    this.waiting.length = 0;
    this.disk.powerCut();
  }
}

function drained(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export const START_TIME = 2000n;

const header = {
  topic: "orders",
  range: { from: 0, to: 64 },
  startTime: START_TIME,
  incarnation: 3n,
  layout: 4n,
  epoch: 5n,
  predecessors: [],
  lineageTime: 1000n,
};

/** The frames that a buffer would append, kept to be compared with. */
export class Frames {
  readonly name: string;
  readonly header: Buffer;
  /** Of messages, by sequence - 1. */
  readonly frames: Buffer[] = [];
  /** The first sequences of the appends. */
  readonly groups: number[] = [];
  readonly #chain: FrameChain;

  constructor(storeId: string, number = 1) {
    const nonce = Buffer.alloc(8, "nonce of");
    nonce.writeUInt32LE(number, 0);
    this.name = logName(storeId, header, nonce);
    const { frame, chain } = encodeHeaderFrame(nonce, header.lineageTime, encodeLogHeader(header));
    this.header = frame;
    this.#chain = chain;
  }

  next(lengths: readonly number[]): Buffer {
    const bodies = lengths.map((length, i) =>
      encodeBody({ key: "key", data: Buffer.alloc(length, `data ${this.frames.length + i} `), time: i }),
    );
    this.groups.push(this.frames.length + 1);
    const firstTime = START_TIME + BigInt(this.frames.length);
    const { bytes, offsets } = encodeMessageFrames(this.#chain, bodies, firstTime);
    for (const [i, at] of offsets.entries())
      this.frames.push(bytes.subarray(at, offsets[i + 1] ?? bytes.length));
    return bytes;
  }

  /** Where the frame of the sequence after these messages starts. */
  offsetAfter(messages: number): number {
    return this.frames.slice(0, messages).reduce((sum, frame) => sum + frame.length, this.header.length);
  }

  /** Asserts that chunks are the messages 1 to `last`, whole and in order. */
  async expect(chunks: AsyncIterable<FrameChunk>, last: number): Promise<void> {
    let next = 1;
    for await (const chunk of chunks) {
      assert.equal(chunk.firstSequence, next);
      const expected = Buffer.concat(this.frames.slice(next - 1, next - 1 + chunk.count));
      assert.ok(chunk.frames.equals(expected), `sequence ${next} and on are what was appended`);
      next += chunk.count;
    }
    assert.equal(next, last + 1);
  }
}

export async function rejectsWith(promise: Promise<unknown>, code: TopicErrorCode): Promise<TopicError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TopicError, `"${code}" was expected, not ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return error;
  }
  return assert.fail(`"${code}" was expected, but it succeeded`);
}

/** What the nth append of a writer in another process has: known here without being told. */
export function lengthsOfAppend(append: number): number[] {
  const chance = chanceOf(append);
  const count = chance() < 0.1 ? 300 : 1 + Math.floor(chance() * 4);
  return Array.from({ length: count }, () => Math.floor(chance() * (chance() < 0.1 ? 20_000 : 500)));
}
