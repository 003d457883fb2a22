import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRef, type Ref, refOf } from "../src/index.js";
import { type QueueOptions, ReplicaQueue } from "../src/replica/queue/queue.js";
import { decodeRecord, encodeRecord, type QueueRecord } from "../src/replica/queue/record.js";
import { blobOf, FakeClock, FakeFiles, noChance, settle } from "./replica-fakes.js";

const clock = new FakeClock();
const never = new AbortController().signal;

async function open(files: FakeFiles, options: Partial<QueueOptions> = {}): Promise<ReplicaQueue> {
  return await ReplicaQueue.open({
    where: { dir: "/queue", files },
    names: ["a", "b"],
    maxQueued: 1000,
    whenFull: "block",
    clock,
    random: noChance,
    onChange: () => {},
    onDropped: () => {},
    ...options,
  });
}

function refNumber(n: number): Ref {
  return refOf(blobOf(`blob ${n}`));
}

async function push(queue: ReplicaQueue, ...numbers: number[]): Promise<void> {
  const reservation = queue.tryReserve(numbers.length) ?? (await queue.reserve(numbers.length, never));
  try {
    await queue.commit(
      numbers.map((n) => ({ ref: refNumber(n), bytes: n })),
      reservation,
    );
  } finally {
    queue.giveBack(reservation);
  }
}

/** What each store waits for, as numbers. */
function waiting(queue: ReplicaQueue): number[][] {
  return queue.stores.map(({ backlog }) =>
    [...backlog.entries()].sort((a, b) => a.seq - b.seq).map((entry) => entry.bytes),
  );
}

function take(queue: ReplicaQueue, store: number, count: number): void {
  queue.done(store, queue.stores[store]!.backlog.take({ entries: count, bytes: 1e9 }, 0));
}

/** Of records: beside it is the claim of the owner. */
function onlyFile(files: FakeFiles): [string, Uint8Array] {
  const all = [...files.contents()].filter(([path]) => !path.endsWith(".owner"));
  expect(all).toHaveLength(1);
  return all[0]!;
}

describe("the queue on disk", () => {
  it("has after a kill -9 what was acknowledged, for each store, in order, with sizes and times", async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    await push(queue, 1, 2, 3);
    await clock.advance(5000);
    await push(queue, 4);
    take(queue, 0, 2);
    await push(queue, 5);
    const before = queue.stores.map(({ backlog }) =>
      [...backlog.entries()].map(({ seq, ref, bytes, wallMs }) => ({ seq, ref, bytes, wallMs })),
    );
    files.kill();
    const after = await open(files);
    expect(waiting(after)).toEqual([
      [3, 4, 5],
      [1, 2, 3, 4, 5],
    ]);
    expect(
      after.stores.map(({ backlog }) =>
        [...backlog.entries()].map(({ seq, ref, bytes, wallMs }) => ({ seq, ref, bytes, wallMs })),
      ),
    ).toEqual(before);
    expect(after.stores[1]!.backlog.oldest()?.wallMs).toBe(before[1]![0]!.wallMs);
  });

  it("recovers exactly the records that are whole, wherever its file is torn", {
    timeout: 30_000,
  }, async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    const empty = onlyFile(files)[1].length;
    for (let n = 1; n <= 6; n++) await push(queue, n);
    const [path, bytes] = onlyFile(files);
    expect(bytes.length).toBe(empty + 6 * 64);
    for (let length = empty; length <= bytes.length; length++) {
      const torn = FakeFiles.from(new Map([[path, bytes.subarray(0, length)]]));
      const whole = Math.floor((length - empty) / 64);
      const expected = Array.from({ length: whole }, (_, i) => i + 1);
      const after = await open(torn);
      expect(waiting(after)).toEqual([expected, expected]);
      expect(after.stores[0]!.dropped).toBe(0);
      // And it goes on from there: what is acknowledged now is not hidden by what was torn.
      await push(after, 100);
      torn.kill();
      expect(waiting(await open(torn))).toEqual([
        [...expected, 100],
        [...expected, 100],
      ]);
    }
  });

  it("refuses a file whose header is torn: a header is synced before the file gets its name", async () => {
    const files = new FakeFiles();
    await open(files);
    const [path, bytes] = onlyFile(files);
    for (let length = 0; length < bytes.length; length++) {
      const torn = FakeFiles.from(new Map([[path, bytes.subarray(0, length)]]));
      await expect(open(torn)).rejects.toMatchObject({ code: "bad-data" });
    }
  });

  it("tells every store to sync when a record is damaged that others follow, and keeps these", async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    const empty = onlyFile(files)[1].length;
    await push(queue, 1);
    await push(queue, 2);
    await push(queue, 3);
    const [path, bytes] = onlyFile(files);
    for (let at = 64; at < 128; at++) {
      const damaged = bytes.slice();
      damaged[empty + at]! ^= 1;
      const after = await open(FakeFiles.from(new Map([[path, damaged]])));
      expect(waiting(after)).toEqual([
        [1, 3],
        [1, 3],
      ]);
      expect(after.stores.map(({ dropped, synced }) => dropped - synced)).toEqual([1, 1]);
    }
  });

  it("acknowledges only what a power cut cannot take", { timeout: 30_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.boolean()), { maxLength: 12 }),
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 10 }),
        async (steps, shares) => {
          const files = new FakeFiles();
          const queue = await open(files);
          let n = 0;
          const acknowledged = new Set<number>();
          for (const [count, wait] of steps) {
            const numbers = Array.from({ length: count }, () => ++n);
            const pushed = push(queue, ...numbers).then(() => {
              for (const each of numbers) acknowledged.add(each);
            });
            pushed.catch(() => {});
            if (wait) await pushed;
          }
          const promised = [...acknowledged];
          let turn = 0;
          files.powerCut(() => shares[turn++ % shares.length] ?? 0);
          const [a] = waiting(await open(files));
          expect(promised.filter((each) => !a!.includes(each))).toEqual([]);
          expect(a!.filter((each) => each > n)).toEqual([]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("shares one write and one sync among puts that come together", async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    const before = files.syncs;
    await Promise.all(Array.from({ length: 100 }, (_, n) => push(queue, n)));
    expect(files.syncs - before).toBeLessThanOrEqual(2);
    expect(waiting(queue)[0]).toHaveLength(100);
  });

  it("costs one append of 64 bytes for a put, however many stores wait for it", async () => {
    const files = new FakeFiles();
    const names = Array.from({ length: 24 }, (_, i) => `store ${i}`);
    const queue = await open(files, { names });
    const before = files.appended;
    await push(queue, 1);
    expect(files.appended - before).toBe(64);
    files.kill();
    expect(waiting(await open(files, { names }))).toEqual(names.map(() => [1]));
  });

  it("keeps its file small, also when the oldest blob never gets through", { timeout: 30_000 }, async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    await push(queue, 0);
    const poison = queue.stores.map(({ backlog }) => backlog.take({ entries: 1, bytes: 1e9 }, 0)[0]!);
    let most = 0;
    for (let round = 0; round < 200; round++) {
      await push(queue, ...Array.from({ length: 200 }, (_, i) => 1 + round * 200 + i));
      take(queue, 0, 200);
      take(queue, 1, 200);
      most = Math.max(
        most,
        [...files.contents()].reduce((sum, [, bytes]) => sum + bytes.length, 0),
      );
    }
    expect(most).toBeLessThan(3 * 1024 * 1024);
    expect(files.appended).toBeGreaterThan(2 * most);
    await settle(); // what is done is noted when there is time
    files.kill();
    expect(waiting(await open(files))).toEqual([[0], [0]]);
    expect(poison.map(({ bytes }) => bytes)).toEqual([0, 0]);
  });

  it.each(["append", "sync"] as const)(
    "acknowledges nothing that an %s failed on, and goes on in a new file",
    async (operation) => {
      const files = new FakeFiles();
      const queue = await open(files);
      await push(queue, 1);
      files.faults.set(operation, Object.assign(new Error("no room"), { code: "ENOSPC" }));
      await expect(push(queue, 2)).rejects.toMatchObject({
        code: "full",
        message: expect.stringContaining("/queue"),
      });
      await expect(push(queue, 3)).rejects.toMatchObject({ code: "full" });
      expect(waiting(queue)[0]).toEqual([1]);
      files.faults.clear();
      await push(queue, 4);
      files.kill();
      expect(waiting(await open(files))[0]).toEqual([1, 4]);
    },
  );

  it.each([
    ["EACCES", "refused"],
    ["EROFS", "refused"],
    ["ENOSPC", "full"],
    ["EIO", "unavailable"],
  ])("says what %s means when it opens", async (errno, code) => {
    const files = new FakeFiles();
    files.faults.set("create", Object.assign(new Error("no"), { code: errno }));
    await expect(open(files)).rejects.toMatchObject({ code, message: expect.stringContaining("/queue") });
  });

  it("fails the puts of a process whose queue another one has taken over, which has all of the first one's", async () => {
    const files = new FakeFiles();
    const first = await open(files);
    await push(first, 1);
    const second = await open(files);
    await expect(push(first, 2)).rejects.toMatchObject({ code: "closed" });
    await expect(push(first, 3)).rejects.toMatchObject({ code: "closed" });
    await push(second, 4);
    files.kill();
    expect(waiting(await open(files))[0]).toEqual([1, 4]);
  });

  it("knows its stores by name: in another order, with new ones, and with one that is away for a while", async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    await push(queue, 1, 2);
    take(queue, 0, 1);
    await settle(); // what is done is noted when there is time
    files.kill();
    const other = await open(files, { names: ["c", "b"] });
    expect(waiting(other)).toEqual([[], [1, 2], [2]]);
    await push(other, 3);
    files.kill();
    expect(waiting(await open(files, { names: ["b", "c", "a"] }))).toEqual([[1, 2, 3], [3], [2]]);
  });

  it("counts what it drops, over restarts, until a sync has made it good", async () => {
    const files = new FakeFiles();
    const options = { maxQueued: 2, whenFull: "drop-to-resync" as const };
    const queue = await open(files, options);
    for (let n = 1; n <= 5; n++) await push(queue, n);
    expect(waiting(queue)).toEqual([
      [1, 2],
      [1, 2],
    ]);
    files.kill();
    const after = await open(files, options);
    expect(after.stores.map(({ dropped, synced }) => [dropped, synced])).toEqual([
      [3, 0],
      [3, 0],
    ]);
    await after.markSynced(0, 2);
    files.kill();
    const again = await open(files, options);
    expect(again.stores.map(({ dropped, synced }) => [dropped, synced])).toEqual([
      [3, 2],
      [3, 0],
    ]);
  });

  it("forgets a blob that was deleted, durably, and one that is nowhere, with a word", async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    await push(queue, 1, 2, 3);
    await queue.forget(refNumber(2));
    queue.lost(0, queue.stores[0]!.backlog.find(refNumber(3))!, new Error("gone"));
    await push(queue, 4);
    files.kill();
    const after = await open(files);
    expect(waiting(after)).toEqual([
      [1, 4],
      [1, 3, 4],
    ]);
    expect(after.stores.map(({ dropped }) => dropped)).toEqual([1, 0]);
  });

  it("has after a kill a put that was being written when an earlier one of the same blob was given up", async () => {
    const files = new FakeFiles();
    const queue = await open(files);
    await push(queue, 1);
    const again = push(queue, 1);
    // The worker of the first store had looked before, and says so before the put is durable.
    queue.lost(0, queue.stores[0]!.backlog.find(refNumber(1))!, new Error("gone"));
    await again;
    expect(waiting(queue)).toEqual([[1], [1]]);
    await settle();
    files.kill();
    const after = await open(files);
    expect(waiting(after)).toEqual([[1], [1]]);
    // And it is given up for good when it is nowhere still.
    after.lost(0, after.stores[0]!.backlog.find(refNumber(1))!, new Error("gone"));
    await settle();
    files.kill();
    const last = await open(files);
    expect([waiting(last), last.stores.map(({ dropped }) => dropped > 0)]).toEqual([
      [[], [1]],
      [true, false],
    ]);
  });

  it("has a blob once for each store, however often it is put", async () => {
    const files = new FakeFiles();
    const queue = await open(files, { maxQueued: 3 });
    await push(queue, 1);
    await Promise.all([push(queue, 1), push(queue, 1)]);
    expect(waiting(queue)).toEqual([[1], [1]]);
    expect(queue.stores[0]!.backlog.bytes).toBe(1);
    expect(queue.tryReserve(2)).toBeDefined();
    files.kill();
    expect(waiting(await open(files))).toEqual([[1], [1]]);
  });

  it("gives places in the order of asking, and takes back what an abort leaves", async () => {
    const files = new FakeFiles();
    const queue = await open(files, { maxQueued: 2 });
    await push(queue, 1, 2);
    const order: string[] = [];
    const gone = new AbortController();
    const first = queue.reserve(2, gone.signal).catch((error: unknown) => order.push(String(error)));
    const second = queue.reserve(1, never).then(() => order.push("second"));
    expect(queue.tryReserve(1)).toBeUndefined();
    take(queue, 0, 1);
    take(queue, 1, 1);
    await Promise.resolve();
    expect(order).toEqual([]);
    gone.abort("left");
    await Promise.all([first, second]);
    expect(order).toEqual(["left", "second"]);
  });
});

describe("a record", () => {
  const number = fc.integer({ min: 0, max: 2 ** 48 - 1 });
  const mask = fc.integer({ min: 0, max: 2 ** 24 - 1 });
  const store = fc.integer({ min: 0, max: 23 });
  const ref = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((bytes) => parseRef(Buffer.from(bytes).toString("hex")));
  const record: fc.Arbitrary<QueueRecord> = fc.oneof(
    fc.record({
      kind: fc.constant("queued" as const),
      seq: number,
      ref,
      bytes: number,
      wallMs: number,
      stores: mask,
      dropped: mask,
    }),
    fc.record({ kind: fc.constant("done" as const), store, seq: number, count: number }),
    fc.record({ kind: fc.constant("lost" as const), store, seq: number, count: number }),
    fc.record({ kind: fc.constant("forgotten" as const), ref }),
    fc.record({ kind: fc.constant("synced" as const), store, count: number }),
  );

  it("is read as it was written, and no flipped bit goes unseen", () => {
    fc.assert(
      fc.property(record, fc.integer({ min: 0, max: 511 }), (value, bit) => {
        const bytes = encodeRecord(value);
        expect(decodeRecord(bytes)).toEqual(value);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(decodeRecord(bytes)).toBeUndefined();
      }),
    );
  });
});
