import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlobError, type BlobStore, memoryStore, type Ref, refOf } from "../src/index.js";
import { prefixDigests } from "../src/maintenance/prefix-digests.js";
import { type Resume, reconcile, sync } from "../src/maintenance/sync.js";

const blob = (n: number): Uint8Array => new TextEncoder().encode(`blob ${n}`);

async function storeOf(numbers: Iterable<number>): Promise<BlobStore> {
  const store = memoryStore();
  for (const n of numbers) await store.put(blob(n));
  return store;
}

async function refsOf(store: BlobStore): Promise<Ref[]> {
  const refs: Ref[] = [];
  for await (const ref of store.listRefs()) refs.push(ref);
  return refs;
}

/** As a store behind a network: it counts what it is asked. */
function remote(store: BlobStore): {
  store: BlobStore;
  calls: { digests: number; prefixes: number; listed: number };
} {
  const calls = { digests: 0, prefixes: 0, listed: 0 };
  return {
    calls,
    store: {
      get: (ref, options) => store.get(ref, options),
      put: (bytes, options) => store.put(bytes, options),
      async *listRefs(after, options) {
        for await (const ref of store.listRefs(after, options)) {
          calls.listed++;
          yield ref;
        }
      },
      prefixDigests(prefixes, options) {
        calls.digests++;
        calls.prefixes += prefixes.length;
        return prefixDigests(store, prefixes, options);
      },
    },
  };
}

/** Fails for the refs that it is told to, so many times each. */
function faulty(store: BlobStore, fails: (operation: "get" | "put", ref: Ref) => boolean): BlobStore {
  const check = (operation: "get" | "put", ref: Ref) => {
    if (fails(operation, ref)) throw new BlobError("unavailable", `${operation} failed`);
  };
  return {
    async get(ref, options) {
      check("get", ref);
      return await store.get(ref, options);
    },
    async put(bytes, options) {
      check("put", refOf(bytes));
      return await store.put(bytes, options);
    },
    listRefs: (after, options) => store.listRefs(after, options),
  };
}

const kinds = fc.constantFrom("none", "from", "to", "both");
const numbers = fc.uniqueArray(fc.nat(2000), { maxLength: 900 });

describe("sync", () => {
  it("makes the second store the union, whatever the stores hold and whoever has digests", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        numbers,
        numbers,
        kinds,
        fc.integer({ min: 1, max: 20 }),
        async (ours, theirs, kind, concurrency) => {
          const from = await storeOf(ours);
          const to = await storeOf(theirs);
          const report = await sync(
            kind === "from" || kind === "both" ? remote(from).store : from,
            kind === "to" || kind === "both" ? remote(to).store : to,
            { concurrency },
          );
          const missing = ours.filter((n) => !theirs.includes(n));
          expect(await refsOf(to)).toEqual(
            [...new Set([...ours, ...theirs])].map((n) => refOf(blob(n))).sort(),
          );
          expect(report).toMatchObject({
            complete: true,
            compared: ours.length,
            missing: missing.length,
            copied: missing.length,
            copiedBytes: missing.reduce((sum, n) => sum + blob(n).length, 0),
            failed: [],
          });
          expect(await refsOf(from)).toHaveLength(ours.length);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("tells the truth about failures in the middle, and resumes to the end", {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        numbers,
        numbers,
        kinds,
        fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
        fc.integer({ min: 1, max: 30 }),
        async (ours, theirs, kind, chance, maxFailed) => {
          const from = await storeOf(ours);
          const to = await storeOf(theirs);
          let share = 2;
          const badly = (store: BlobStore) => faulty(store, () => (chance.next().value as number) < share);
          const a = kind === "from" || kind === "both" ? remote(badly(from)).store : badly(from);
          const b = kind === "to" || kind === "both" ? remote(badly(to)).store : badly(to);
          let resume: Resume | undefined;
          for (let run = 0; ; run++) {
            if (run === 5) share = 0;
            const report = await sync(a, b, { maxFailed, concurrency: 3, ...(resume && { resume }) });
            const there = new Set(await refsOf(to));
            const absent = ours.map((n) => refOf(blob(n))).filter((ref) => !there.has(ref));
            expect(report.complete).toBe(absent.length === 0 && report.failed.length === 0);
            // Nothing that is missing is before the position, but for what is to be tried again.
            for (const ref of absent) {
              const later = report.resume.after === undefined || ref > report.resume.after;
              expect(later || report.resume.again.includes(ref)).toBe(true);
            }
            if (report.complete) break;
            expect(report.failed.length + (report.stopped === undefined ? 0 : 1)).toBeGreaterThan(0);
            expect(run).toBeLessThan(6);
            resume = JSON.parse(JSON.stringify(report.resume)) as Resume;
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("asks for what differs only: 10 of 100,000 refs", { timeout: 60_000 }, async () => {
    const all = Array.from({ length: 100_000 }, (_, n) => n);
    const from = remote(await storeOf(all));
    const to = remote(await storeOf(all.filter((n) => n % 10_000 !== 77)));
    const report = await sync(from.store, to.store);
    expect(report).toMatchObject({ complete: true, compared: 100_000, missing: 10, copied: 10 });
    for (const { calls } of [from, to]) {
      // The root, the level below it, and two levels for each difference; a listing of 24 refs, and the one after, for each.
      expect(calls.digests).toBeLessThanOrEqual(1 + 1 + 10 + 10);
      expect(calls.prefixes).toBeLessThanOrEqual(16 * 22);
      expect(calls.listed).toBeLessThanOrEqual(10 * 2 * 1024);
    }
    from.calls.listed = to.calls.listed = from.calls.digests = to.calls.digests = 0;
    expect(await sync(from.store, to.store)).toMatchObject({ complete: true, compared: 100_000, missing: 0 });
    expect([from.calls, to.calls]).toMatchObject([
      { digests: 1, listed: 0 },
      { digests: 1, listed: 0 },
    ]);
  });

  it("lists a few refs of a large store for a small one", { timeout: 60_000 }, async () => {
    const from = remote(await storeOf([1, 2, 300_000]));
    const to = remote(await storeOf(Array.from({ length: 20_000 }, (_, n) => n)));
    expect(await sync(from.store, to.store)).toMatchObject({ complete: true, compared: 3, copied: 1 });
    expect(to.calls.listed).toBeLessThan(4000);
  });

  it.each(["from", "to"] as const)("names a store that lists out of order: %s", async (side) => {
    const good = await storeOf([1, 2, 3]);
    const refs = await refsOf(good);
    const lying: BlobStore = {
      get: (ref) => good.get(ref),
      put: (bytes) => good.put(bytes),
      async *listRefs() {
        yield* [refs[1]!, refs[0]!, refs[2]!];
      },
    };
    const report = side === "from" ? await sync(lying, memoryStore()) : await sync(good, lying);
    expect(report.complete).toBe(false);
    expect(report.stopped).toMatchObject({ code: "unordered", store: side });
  });

  it("is not complete when a listing fails or is cut, and says which", async () => {
    const good = await storeOf(Array.from({ length: 50 }, (_, n) => n));
    const breaks: BlobStore = {
      get: (ref) => good.get(ref),
      put: (bytes) => good.put(bytes),
      async *listRefs() {
        yield (await refsOf(good))[0]!;
        throw new Error("the line broke");
      },
    };
    const failed = await sync(breaks, memoryStore());
    expect(failed).toMatchObject({ complete: false, stopped: { code: "unavailable", store: "from" } });

    const cut: BlobStore = {
      get: (ref) => good.get(ref),
      put: (bytes) => good.put(bytes),
      async *listRefs() {
        yield (await refsOf(good))[0]!;
      },
      prefixDigests: (prefixes) => prefixDigests(good, prefixes),
    };
    expect(await sync(cut, await storeOf([1]))).toMatchObject({
      complete: false,
      stopped: { code: "unavailable", store: "from" },
    });
  });

  it("copies no damaged blob", async () => {
    const good = await storeOf([1, 2]);
    const damaged: BlobStore = {
      get: async (ref) => (ref === refOf(blob(1)) ? blob(7) : await good.get(ref)),
      put: (bytes) => good.put(bytes),
      listRefs: (after) => good.listRefs(after),
    };
    const to = memoryStore();
    const report = await sync(damaged, to, { names: { from: "disk 1", to: "disk 2" } });
    expect(report).toMatchObject({
      complete: false,
      copied: 1,
      failed: [{ ref: refOf(blob(1)), error: { code: "corrupt", store: "disk 1" } }],
    });
    expect(await refsOf(to)).toEqual([refOf(blob(2))]);
  });

  it("does not count a blob that was deleted meanwhile as a failure, and counts one that is only listed", async () => {
    const good = await storeOf([1, 2]);
    const listed = await refsOf(good);
    let first = true;
    const vanishing: BlobStore = {
      get: (ref) => good.get(ref),
      put: (bytes) => good.put(bytes),
      async *listRefs(after) {
        if (first) {
          first = false;
          yield* listed;
          await good.delete?.(listed[0]!);
        } else yield* good.listRefs(after);
      },
    };
    expect(await sync(vanishing, memoryStore())).toMatchObject({ complete: true, gone: 1, copied: 1 });
    const lying: BlobStore = {
      ...vanishing,
      async *listRefs(after) {
        yield* listed.filter((ref) => after === undefined || ref > after);
      },
    };
    expect(await sync(lying, memoryStore())).toMatchObject({
      complete: false,
      gone: 0,
      failed: [{ ref: listed[0], error: { code: "not-found", store: "from" } }],
    });
  });

  it("ends with the caller's reason, after its copies have, and can go on from its last progress", async () => {
    const from = await storeOf(Array.from({ length: 200 }, (_, n) => n));
    const to = memoryStore();
    const reason = new Error("enough");
    const controller = new AbortController();
    let running = 0;
    let resume: Resume | undefined;
    const slow: BlobStore = {
      get: (ref) => from.get(ref),
      async put(bytes, options) {
        running++;
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        options?.signal?.throwIfAborted();
        return await to.put(bytes);
      },
      listRefs: (after) => to.listRefs(after),
    };
    const running1 = sync(from, slow, {
      signal: controller.signal,
      onProgress(progress) {
        resume = progress.resume;
        if (progress.copied === 50) controller.abort(reason);
        throw new Error("dropped");
      },
    });
    await expect(running1).rejects.toBe(reason);
    expect(running).toBe(0);
    const report = await sync(from, to, { resume: resume as Resume });
    expect(report.complete).toBe(true);
    expect(report.compared).toBeLessThan(200);
    expect(await refsOf(to)).toEqual(await refsOf(from));
  });

  it("goes both ways with reconcile", async () => {
    const [a, b] = [await storeOf([1, 2, 3]), await storeOf([3, 4])];
    expect(await reconcile(a, b)).toMatchObject({
      complete: true,
      toSecond: { copied: 2 },
      toFirst: { copied: 1 },
    });
    expect(await refsOf(a)).toEqual(await refsOf(b));
  });
});
