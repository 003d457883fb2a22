import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { BlobError, type BlobStore, createReplica, type Ref, refOf, sync } from "@x/blob-replica";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FakeClock } from "../../../packages/blob-replica/test/replica-fakes.js";
import { SeededRandom } from "../src/sim/random.js";

const blobBytes = 16_384;
const stepMs = 2_000;
const steps = 1_800; // an hour
const putsPerStep = 10;
const getsPerStep = 10;
const seed = process.env.BLOB_SEED ?? String(Date.now());

let root = "";
beforeAll(async () => {
  console.log(`BLOB_SEED=${seed}`);
  root = await mkdtemp(join(tmpdir(), "x-harness-blob-outage-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** Their contents are made anew each time, so that all that is kept in memory is what the replica keeps. */
function contentOf(number: number): Uint8Array {
  return Buffer.alloc(blobBytes, `${number} is the number of this blob. `);
}

type Way = "up" | "refuses" | "hangs" | "fails at random";

/** A store that remembers the numbers of its blobs. */
class NumberedStore implements BlobStore {
  readonly numbers: Map<Ref, number> = new Map();
  way: Way = "up";
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.way === "hangs") {
      await new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    }
    if (this.way === "refuses" || (this.way === "fails at random" && this.#random.chance(0.5))) {
      throw new BlobError("unavailable", "it is down");
    }
  }

  async get(ref: Ref, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    await this.#enter(signal);
    const number = this.numbers.get(ref);
    if (number === undefined) throw new BlobError("not-found", `there is no blob ${ref}`);
    return contentOf(number);
  }

  async put(
    blob: Uint8Array,
    { signal, ref = refOf(blob) }: { readonly signal?: AbortSignal; readonly ref?: Ref } = {},
  ): Promise<{ readonly ref: Ref; readonly added: boolean }> {
    await this.#enter(signal);
    const added = !this.numbers.has(ref);
    this.numbers.set(ref, Number.parseInt(Buffer.from(blob.subarray(0, 20)).toString(), 10));
    return { ref, added };
  }

  async *listRefs(after?: Ref): AsyncGenerator<Ref, void, undefined> {
    for (const ref of [...this.numbers.keys()].sort()) if (after === undefined || ref > after) yield ref;
  }
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void; // as the flag says

function usedBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

it("fails no put and no get, in bounded memory, while a store of each kind is down for an hour, and catches up", {
  timeout: 120_000,
}, async () => {
  const random = new SeededRandom(seed);
  const clock = new FakeClock();
  // The one that goes away is the one that is asked first while all are equally fast.
  const stores = ["away", "a", "b", "async", "async-away"].map(
    (name) => [name, new NumberedStore(random.fork(name))] as const,
  );
  const named = stores.map(([name, store]) => ({ name, store }));
  const [away, , , , asyncAway] = stores.map(([, store]) => store) as [
    NumberedStore,
    NumberedStore,
    NumberedStore,
    NumberedStore,
    NumberedStore,
  ]; // as many as names
  const replica = await createReplica({
    sync: named.slice(0, 3),
    writeQuorum: 2,
    async: named.slice(3),
    queue: { dir: join(root, "queue") },
    clock,
    random,
  });
  const acknowledged: Ref[] = [];
  let next = 0;

  let slowestMs = 0;
  /** Some puts and some gets at the same time, of which none fails. */
  const step = async (): Promise<void> => {
    const before = clock.monotonicMs();
    const numbers = Array.from({ length: putsPerStep }, () => next++);
    const wanted =
      acknowledged.length === 0 ? [] : Array.from({ length: getsPerStep }, () => random.pick(acknowledged));
    const puts = Promise.all(numbers.map((number) => replica.put(contentOf(number))));
    const gets = Promise.all(wanted.map((ref) => replica.get(ref)));
    // A get that waits for a store waits for the clock, to ask another. A put waits for nothing but the queue's disk, which is real.
    let over = false;
    const settled = gets.finally(() => {
      over = true;
    });
    settled.catch(() => {}); // it is awaited below
    while (!over) await clock.advance(1);
    slowestMs = Math.max(slowestMs, clock.monotonicMs() - before);
    for (const { ref } of await puts) acknowledged.push(ref);
    const got = await gets;
    for (const [i, blob] of got.entries()) expect(refOf(blob)).toBe(wanted[i]);
    await clock.advance(Math.max(0, stepMs - (clock.monotonicMs() - before)));
  };

  const caughtUp = async (withinMs: number): Promise<void> => {
    const begunMs = clock.monotonicMs();
    while (
      replica.state().async.some(({ backlog }) => backlog > 0) ||
      replica.state().sync.some(({ repairBacklog }) => repairBacklog > 0)
    ) {
      expect(clock.monotonicMs() - begunMs, "simulated time until it has caught up").toBeLessThan(withinMs);
      // The disk is real: a worker looks there, before each write, whose the queue is. No simulated time passes over what it was asked before.
      await stat(root);
      await clock.advance(10);
    }
  };

  for (let i = 0; i < 20; i++) await step();
  await caughtUp(60_000);
  const before = acknowledged.length;
  const outageMs = clock.wallMs();
  const usedBefore = usedBytes();
  let mostUsed = 0;

  for (let i = 0; i < steps; i++) {
    const way: Way = i < steps / 3 ? "refuses" : i < (2 * steps) / 3 ? "hangs" : "fails at random";
    away.way = way;
    // One that takes half of what it is given would keep up: it is gone for the whole hour.
    asyncAway.way = way === "fails at random" ? "refuses" : way;
    await step();
    if (i % 300 !== 299) continue;
    // It waits for the real disk alone.
    await expect.poll(() => replica.state().async[0]?.backlog).toBeLessThanOrEqual(putsPerStep);
    const [up, down] = replica.state().async;
    expect(up).toMatchObject({ name: "async", failures: 0 });
    // Exactly what was acknowledged and is not there.
    expect(down).toMatchObject({
      backlog: acknowledged.length - before,
      backlogBytes: (acknowledged.length - before) * blobBytes,
      oldest: acknowledged[before],
      needsSync: false,
    });
    mostUsed = Math.max(mostUsed, usedBytes() - usedBefore);
  }
  const passed = (acknowledged.length - before) * blobBytes;
  const [repairing] = replica.state().sync;
  expect(replica.state().async[1]?.lagMs).toBeGreaterThan(0.99 * steps * stepMs);
  expect(clock.wallMs() - outageMs).toBeGreaterThanOrEqual(steps * stepMs);
  expect(repairing?.repairBacklog).toBeLessThanOrEqual(10_000);
  expect(repairing?.repairsDropped).toBeGreaterThan(0);
  // Refs and no contents: of the hour's blobs a fraction is in memory.
  expect(passed).toBeGreaterThan(290_000_000);
  expect(mostUsed).toBeLessThan(120_000_000);
  // Whoever has asked one that does not answer asks another soon.
  expect(slowestMs).toBeGreaterThanOrEqual(10);
  expect(slowestMs).toBeLessThan(1_000);

  const healedMs = clock.monotonicMs();
  for (const [, store] of stores) store.way = "up";
  await caughtUp(120_000);
  await replica.drained();
  const caughtUpMs = clock.monotonicMs() - healedMs;
  expect(replica.state().async).toMatchObject([
    { backlog: 0, failures: 0, needsSync: false, dropped: 0, lastError: undefined },
    { backlog: 0, failures: 0, needsSync: false, dropped: 0, lastError: undefined },
  ]);
  // What was beyond the repairs that it keeps in mind is for sync.
  const report = await sync(replica, away);
  expect(report.complete).toBe(true);
  await replica[Symbol.asyncDispose]();

  for (const [name, store] of stores) {
    expect(store.numbers.size, name).toBe(next);
    expect(
      acknowledged.every((ref) => store.numbers.has(ref)),
      name,
    ).toBe(true);
  }
  console.log(
    `${acknowledged.length} puts in an hour, ${Math.round(mostUsed / 1e6)} MB more at most, caught up after ${caughtUpMs} ms of simulated time, ${report.copied} copied by sync; the slowest get took ${slowestMs} ms`,
  );
});
