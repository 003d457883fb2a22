import { getMany, type NamedStore, type Ref, type Replica, refOf } from "@x/blob-replica";
import { testBlob } from "@x/blob-replica/testing";
import { expect } from "vitest";
import type { SeededRandom } from "../src/sim/random.js";

const writers = 3;
const readers = 3;

/** Puts blobs into a replica and reads them back without pause, while a test breaks things. No put and no get may fail. */
export class BlobTraffic implements AsyncDisposable {
  readonly failures: unknown[] = [];
  readonly #replica: Replica;
  readonly #acknowledged: Ref[] = [];
  readonly #running: Promise<void>[];
  readonly #waiting = new Set<() => void>();
  readonly #calls = new Set<Promise<unknown>>();
  #stopped = false;
  #next: number;
  #gets = 0;

  /** Of two with different `first` no blob is the same. */
  constructor(replica: Replica, random: SeededRandom, first: number) {
    this.#replica = replica;
    this.#next = first;
    this.#running = [
      ...Array.from({ length: writers }, () => this.#write()),
      ...Array.from({ length: readers }, (_, i) => this.#read(random.fork(i))),
    ];
  }

  get acknowledged(): readonly Ref[] {
    return this.#acknowledged;
  }

  async #write(): Promise<void> {
    while (!this.#stopped) {
      const number = this.#next++;
      // Mostly small; the large ones are on their way for a while.
      const blob = testBlob(
        number,
        number % 5 === 0 ? 100_000 + (number % 1000) : 1 + ((number * 7919) % 9_000),
      );
      try {
        const { ref } = await this.#call(this.#replica.put(blob));
        if (ref !== refOf(blob)) throw new Error(`blob ${number} was put as ${ref}`);
        this.#acknowledged.push(ref);
      } catch (error) {
        this.failures.push(error);
      }
      this.#progress();
    }
  }

  async #read(random: SeededRandom): Promise<void> {
    while (!this.#stopped) {
      if (this.#acknowledged.length === 0) await this.#more();
      if (this.#acknowledged.length === 0) continue;
      // The latest ones above all: not every store has them yet.
      const age = Math.floor(this.#acknowledged.length * random.number() ** 3);
      const ref = this.#acknowledged[this.#acknowledged.length - 1 - age] as Ref; // within
      try {
        if (refOf(await this.#call(this.#replica.get(ref))) !== ref)
          throw new Error(`wrong bytes were given for ${ref}`);
        this.#gets++;
      } catch (error) {
        this.failures.push(error);
      }
      this.#progress();
      // Readers may not starve the writers.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #call<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  /** Resolves when no call is under way that has met what went wrong before: of two failures a call has to bear one. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#calls);
  }

  #progress(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #more(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  /** Resolves when so many more puts and gets were done, at the rate that whatever is broken allows. */
  async goesOn(puts: number, gets: number = puts): Promise<void> {
    const [putsThen, getsThen] = [this.#acknowledged.length + puts, this.#gets + gets];
    while (this.#acknowledged.length < putsThen || this.#gets < getsThen) {
      await this.#more();
      expect(this.failures).toEqual([]);
    }
  }

  /** Ends it, and waits until each of the stores has everything that was acknowledged, whole. */
  async finish(stores: readonly NamedStore[], withinMs: number): Promise<void> {
    await this[Symbol.asyncDispose]();
    expect(this.failures).toEqual([]);
    const signal = AbortSignal.timeout(withinMs);
    await this.#replica.drained({ signal });
    for await (const { sync } of this.#replica.states({ signal })) {
      if (sync.every(({ repairBacklog }) => repairBacklog === 0)) break;
    }
    for (const state of this.#replica.state().async) {
      expect(state).toMatchObject({ backlog: 0, backlogBytes: 0, needsSync: false, lastError: undefined });
    }
    for (const { name, store } of stores) {
      const bad: unknown[] = [];
      for await (const { ref, blob, error } of getMany(store, this.#acknowledged)) {
        if (blob === undefined || refOf(blob) !== ref) bad.push({ ref, error });
      }
      expect(bad, `what ${name} lacks`).toEqual([]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#progress();
    await Promise.all(this.#running);
  }
}
