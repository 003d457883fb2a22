import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { BlobError, createReplica, type GetManyResult, type Ref, refOf } from "../src/index.js";
import { Backlog } from "../src/replica/queue/backlog.js";
import { Worker, type WorkerOptions } from "../src/replica/worker.js";
import { blobOf, FakeClock, FaultyStore, noChance, settle } from "./replica-fakes.js";

const blob = blobOf("a blob");
const ref = refOf(blob);

function setUp(source: WorkerOptions["source"]) {
  const clock = new FakeClock();
  const backlog = new Backlog();
  const store = new FaultyStore();
  const lost: Ref[] = [];
  const failed: unknown[] = [];
  const worker = new Worker({
    target: { name: "far", store },
    backlog,
    source,
    settings: {
      clock,
      random: noChance,
      attemptTimeoutMs: 1000,
      retryMinMs: 100,
      retryMaxMs: 100,
    },
    onDone: (entries) => {
      for (const entry of entries) backlog.remove(entry);
    },
    onLost: (entry) => {
      lost.push(entry.ref);
      backlog.remove(entry);
    },
    onFailed: (_ref, error) => failed.push(error),
  });
  return { clock, backlog, store, lost, failed, worker };
}

const missing: GetManyResult = { ref, error: new BlobError("not-found", "nobody has it") };

describe("a worker", () => {
  it("looks again when a blob that is nowhere was put after it had asked", async () => {
    const answers: ((results: readonly GetManyResult[]) => void)[] = [];
    const it = setUp(() => new Promise((resolve) => answers.push(resolve)));
    it.backlog.add(1, ref, blob.length, 0);
    it.worker.kick();
    await settle();
    // The source has said so, and before the worker hears it the blob is put again.
    answers[0]?.([missing]);
    expect(it.backlog.add(2, ref, blob.length, 0)).toBe(false);
    await settle();
    expect([it.lost, it.failed, answers.length]).toEqual([[], [], 2]);
    answers[1]?.([{ ref, blob }]);
    await settle();
    expect([await it.store.holds(ref), it.backlog.size, it.lost]).toEqual([true, 0, []]);
  });

  it("gives up a blob that is nowhere, and was not put again", async () => {
    const it = setUp(async () => [missing]);
    it.backlog.add(1, ref, blob.length, 0);
    it.backlog.add(2, ref, blob.length, 0);
    it.worker.kick();
    await settle();
    expect([it.lost, it.backlog.size]).toEqual([[ref], 0]);
  });

  it("blames the store for a late write, and the source for a late read, of which it waits for neither's answer", async () => {
    let isDeaf = true;
    const it = setUp(() => (isDeaf ? new Promise(() => {}) : Promise.resolve([{ ref, blob }])));
    it.backlog.add(1, ref, blob.length, 0);
    it.worker.kick();
    await it.clock.advance(1000);
    expect(it.failed).toMatchObject([
      {
        code: "unavailable",
        store: undefined,
        message: expect.stringMatching(/no synchronous store .* 1000 ms/),
      },
    ]);
    expect(it.store.calls.put).toBe(0);
    isDeaf = false;
    it.store.hanging.add("put");
    await it.clock.advance(1100);
    expect(it.failed.slice(1)).toMatchObject([{ code: "unavailable", store: "far" }]);
    it.store.up();
    await it.clock.advance(1000);
    expect([await it.store.holds(ref), it.clock.timers]).toEqual([true, 0]);
  });

  it("gives a write all of its time, however long the read took", async () => {
    let answer: (results: readonly GetManyResult[]) => void = () => {};
    const it = setUp(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    it.store.hanging.add("put");
    it.backlog.add(1, ref, blob.length, 0);
    it.worker.kick();
    await it.clock.advance(999);
    answer([{ ref, blob }]);
    await it.clock.advance(999);
    it.store.up();
    await settle();
    expect([it.failed, await it.store.holds(ref)]).toEqual([[], true]);
  });
});

describe("a backlog", () => {
  it("gives out nothing that is held, whatever it had been through, and all of it when it is released", () => {
    const backlog = new Backlog();
    const all = { entries: 10, bytes: 1000 };
    const refs = ["fresh", "failed", "in flight"].map((text) => refOf(blobOf(text)));
    const [fresh, failed, flying] = refs.map((each, i) => {
      backlog.add(i + 1, each, 1, 0);
      return backlog.find(each)!;
    });
    backlog.hold(fresh!);
    expect(backlog.take(all, 0)).toEqual([failed, flying]);
    backlog.retry(failed!, 5);
    backlog.hold(failed!);
    backlog.hold(flying!);
    backlog.retry(flying!, 6);
    expect([backlog.take(all, 10), backlog.takeProbe(), backlog.retries.size, backlog.size]).toEqual([
      [],
      [],
      0,
      3,
    ]);
    for (const each of [fresh, failed, flying]) backlog.release(each!);
    expect(backlog.take(all, 4)).toEqual([fresh]);
    expect(backlog.take(all, 10)).toEqual([failed, flying]);
  });
});

describe("a put that waits for room", () => {
  it("leaves nothing with signals that live long", async () => {
    const any = vi.spyOn(AbortSignal, "any");
    const far = new FaultyStore();
    const replica = await createReplica({
      sync: [{ name: "near", store: new FaultyStore() }],
      async: [{ name: "far", store: far }],
      queue: { memory: true },
      maxQueued: 1,
      clock: new FakeClock(),
      random: noChance,
    });
    const { signal } = new AbortController();
    far.hanging.add("put");
    await replica.put(blobOf("first"));
    const waiting = replica.put(blobOf("second"), { signal });
    await settle();
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    far.up();
    await waiting;
    await replica.drained();
    expect(getEventListeners(signal, "abort")).toEqual([]);
    // In Node 20 what is derived from a signal stays with it as long as it lives.
    expect(any).not.toHaveBeenCalled();
    any.mockRestore();
    await replica[Symbol.asyncDispose]();
  });
});
