import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Clock } from "../src/clock.js";
import { BlobError, type BlobStore, memoryStore, type Ref, refOf } from "../src/index.js";
import type { Resume } from "../src/maintenance/sync.js";
import { verify } from "../src/maintenance/verify.js";

const blob = (n: number): Uint8Array => new TextEncoder().encode(`blob ${n}`);

/** Time passes only for those who wait. */
class WaitingClock implements Clock {
  nowMs = 1000;
  waits = 0;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  setTimer(delayMs: number, callback: () => void): () => void {
    const handle = setImmediate(() => {
      this.waits++;
      this.nowMs += delayMs;
      callback();
    });
    return () => clearImmediate(handle);
  }
}

/** A store with some blobs damaged, some listed only, and some that give an error. */
function damagedStore(
  good: BlobStore,
  how: ReadonlyMap<Ref, "corrupt" | "missing" | "unreadable">,
): BlobStore {
  const bad = new Map(how);
  return {
    async get(ref, options) {
      const problem = bad.get(ref);
      if (problem === "corrupt") return blob(-1);
      if (problem === "missing") throw new BlobError("not-found", "not there");
      if (problem === "unreadable") throw new BlobError("unavailable", "no answer");
      return await good.get(ref, options);
    },
    async put(bytes) {
      const ref = refOf(bytes);
      bad.delete(ref);
      return { ref, added: true };
    },
    listRefs: (after) => good.listRefs(after),
  };
}

describe("verify", () => {
  it("finds exactly what is bad, repairs what it can, and a second run finds the rest only", {
    timeout: 30_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom("good", "corrupt", "missing", "unreadable"), { maxLength: 60 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 60 }),
        async (states, repair, concurrency, maxBad) => {
          const good = memoryStore();
          const how = new Map<Ref, "corrupt" | "missing" | "unreadable">();
          for (const [n, state] of states.entries()) {
            const { ref } = await good.put(blob(n));
            if (state !== "good") how.set(ref, state);
          }
          const store = damagedStore(good, how);
          const found = new Map<Ref, string>();
          let checked = 0;
          let resume: Resume | undefined;
          for (;;) {
            const report = await verify(store, {
              concurrency,
              maxBad,
              ...(repair && { repairFrom: good }),
              ...(resume && { resume }),
            });
            checked += report.checked;
            for (const each of report.bad) {
              found.set(each.ref, each.problem);
              expect(each.repaired).toBe(repair && each.problem !== "unreadable");
            }
            expect(report.repaired).toBe(report.bad.filter((each) => each.repaired).length);
            expect(report.sound).toBe(report.complete && report.bad.every((each) => each.repaired));
            if (report.complete) break;
            expect(report.stopped).toMatchObject({ code: "corrupt" });
            // Those that are still bad would stop it again.
            resume = { ...report.resume, again: report.resume.again.filter((ref) => !found.has(ref)) };
          }
          expect(checked).toBeGreaterThanOrEqual(states.length);
          expect(found).toEqual(how);
          const left = repair ? [...how].filter(([, problem]) => problem === "unreadable").length : how.size;
          expect((await verify(store)).bad).toHaveLength(left);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("tells what is bad in the order of the refs, also when the first is read last", async () => {
    const good = memoryStore();
    const refs: Ref[] = [];
    for (let n = 0; n < 4; n++) refs.push((await good.put(blob(n))).ref);
    refs.sort();
    let others = (): void => {};
    const othersAreRead = new Promise<void>((resolve) => {
      others = resolve;
    });
    const damaged = damagedStore(good, new Map(refs.map((ref) => [ref, "corrupt"])));
    let reads = 0;
    const store: BlobStore = {
      ...damaged,
      async get(ref, options) {
        if (ref === refs[0]) await othersAreRead;
        else if (++reads === refs.length - 1) others();
        return await damaged.get(ref, options);
      },
    };
    expect((await verify(store)).bad.map(({ ref }) => ref)).toEqual(refs);
  });

  it("gets further with each run, also when a bad blob is found sooner than the ones before it are read", async () => {
    const good = memoryStore();
    for (let n = 0; n < 3; n++) await good.put(blob(n));
    const [first, second] = [0, 1, 2].map((n) => refOf(blob(n))).sort();
    const store: BlobStore = {
      ...damagedStore(good, new Map([[second!, "corrupt"] as const])),
      async get(ref, options) {
        if (ref === second) return blob(-1);
        // The first one takes longer than it takes to find the second one bad.
        if (ref === first) await new Promise((resolve) => setImmediate(resolve));
        return await good.get(ref, options);
      },
    };
    const report = await verify(store, { concurrency: 2, maxBad: 1 });
    expect(report).toMatchObject({ complete: false, checked: 2, bad: [{ ref: second }] });
    const rest = await verify(store, { concurrency: 2, maxBad: 2, resume: report.resume });
    expect(rest).toMatchObject({ complete: true, bad: [{ ref: second }] });
  });

  it("reads at the rate that it is given", async () => {
    const store = memoryStore();
    for (let n = 0; n < 100; n++) await store.put(new Uint8Array(1000).fill(n));
    const clock = new WaitingClock();
    const seen: number[] = [];
    const report = await verify(store, {
      bytesPerSecond: 10_000,
      clock,
      concurrency: 1,
      onProgress: ({ checkedBytes }) => {
        seen.push(checkedBytes);
        expect(checkedBytes).toBeLessThanOrEqual(1000 + ((clock.nowMs - 1000) * 10_000) / 1000 + 1e-6);
      },
    });
    expect(report).toMatchObject({ complete: true, sound: true, checked: 100, checkedBytes: 100_000 });
    expect(seen).toHaveLength(100);
    expect(clock.nowMs - 1000).toBeCloseTo(9_900, 3); // nobody waits after the last
  });

  it.each([
    ["every second one", (i: number) => i % 2 === 1, false],
    ["every second one, which are repaired", (i: number) => i % 2 === 1, true],
    ["all, which are repaired", () => true, true],
  ])("reads at the rate also where a store finds its own blobs corrupt: %s", async (_what, isBad, repair) => {
    const good = memoryStore();
    for (let n = 0; n < 100; n++) await good.put(new Uint8Array(1000).fill(n));
    const bad = new Set<Ref>();
    let listed = 0;
    for await (const ref of good.listRefs()) if (isBad(listed++)) bad.add(ref);
    const clock = new WaitingClock();
    const paidFor = () => ((clock.nowMs - 1000) * 1000) / 1000;
    let bytes = 0;
    let reading = 0;
    const reads = async (ref: Ref): Promise<Uint8Array> => {
      // What runs, with its repair and what is read back, is not paid for yet; all else is.
      expect(bytes - paidFor()).toBeLessThanOrEqual(4 * 3 * 1000 + 1e-6);
      reading++;
      expect(reading).toBeLessThanOrEqual(4);
      try {
        const blob = await good.get(ref);
        bytes += blob.length;
        return blob;
      } finally {
        reading--;
      }
    };
    const store: BlobStore = {
      verified: true,
      async get(ref) {
        const blob = await reads(ref);
        if (bad.has(ref)) throw new BlobError("corrupt", "another content");
        return blob;
      },
      async put(bytesOf) {
        const ref = refOf(bytesOf);
        bad.delete(ref);
        return { ref, added: true };
      },
      listRefs: (after) => good.listRefs(after),
    };
    const count = bad.size;
    const repairFrom: BlobStore = { ...store, get: reads };
    const report = await verify(store, { bytesPerSecond: 1000, clock, ...(repair && { repairFrom }) });
    expect(report).toMatchObject({ complete: true, checked: 100, repaired: repair ? count : 0 });
    expect(report.bad).toHaveLength(count);
    expect(bytes).toBe(1000 * (100 + (repair ? 2 * count : 0)));
    expect(paidFor()).toBeGreaterThanOrEqual(bytes - 4 * 3 * 1000);
    // While nothing was read whole, each that fails counts as 64 KiB.
    expect(paidFor()).toBeLessThanOrEqual(bytes + (count === 100 ? 4 * 65_536 : 0));
  });

  it("reads at a rate also when every read fails, and pays for nothing that is not there", async () => {
    const good = memoryStore();
    for (let n = 0; n < 20; n++) await good.put(new Uint8Array(60_000).fill(n));
    for (const [code, ms] of [
      ["corrupt", (16 * 65_536 * 1000) / 10_000],
      ["unavailable", (16 * 65_536 * 1000) / 10_000],
      ["not-found", 0],
    ] as const) {
      const clock = new WaitingClock();
      const fails: BlobStore = {
        ...damagedStore(good, new Map()),
        get: () => Promise.reject(new BlobError(code, "no")),
      };
      const report = await verify(fails, { bytesPerSecond: 10_000, clock });
      expect(report.bad).toHaveLength(20);
      expect(clock.nowMs - 1000).toBeGreaterThanOrEqual(ms);
      if (ms === 0) expect(clock.nowMs).toBe(1000);
    }
  });

  it("says so when the copy to repair from is damaged, too, and when the repair does not take", async () => {
    const good = memoryStore();
    const { ref } = await good.put(blob(1));
    const how = new Map([[ref, "corrupt"] as const]);
    const report = await verify(damagedStore(good, how), { repairFrom: damagedStore(good, how) });
    expect(report).toMatchObject({
      sound: false,
      repaired: 0,
      bad: [{ ref, repaired: false, repairError: { code: "corrupt" } }],
    });
    const stubborn: BlobStore = { ...damagedStore(good, how), put: async () => ({ ref, added: true }) };
    expect(await verify(stubborn, { repairFrom: good })).toMatchObject({
      sound: false,
      bad: [{ repaired: false }],
    });
  });

  it("is not complete when the listing fails, and ends with the caller's reason while it waits", async () => {
    const good = memoryStore();
    for (let n = 0; n < 10; n++) await good.put(blob(n));
    const breaks: BlobStore = {
      get: (ref) => good.get(ref),
      put: (bytes) => good.put(bytes),
      async *listRefs() {
        yield* [refOf(blob(1))];
        throw new Error("the line broke");
      },
    };
    expect(await verify(breaks)).toMatchObject({
      complete: false,
      sound: false,
      stopped: { code: "unavailable" },
    });

    const controller = new AbortController();
    const reason = new Error("enough");
    const timers: number[] = [];
    const never: Clock = {
      wallMs: () => 0,
      monotonicMs: () => 0,
      setTimer(delayMs) {
        timers.push(delayMs);
        queueMicrotask(() => controller.abort(reason));
        return () => timers.pop();
      },
    };
    const waiting = verify(good, { bytesPerSecond: 1, clock: never, signal: controller.signal });
    await expect(waiting).rejects.toBe(reason);
    expect(timers).toEqual([]); // taken back
  });

  it.each([0, -1, Number.NaN])("refuses a rate of %s", async (bytesPerSecond) => {
    await expect(verify(memoryStore(), { bytesPerSecond })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});
