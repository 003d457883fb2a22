import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BlobError,
  gc,
  gcGuard,
  memoryCandidateStore,
  memoryStore,
  type Ref,
  refFromBytes,
  refOf,
} from "../src/index.js";
import { collect } from "../src/testing/fixture.js";
import { blobOf, deleting, garbageStore, HandClock, noReferences as references } from "./gc-support.js";

/** Candidates as they are saved: a head of 5 bytes, then 38 for each. */
function entriesOf(saved: Uint8Array): { readonly ref: Ref; readonly sinceMs: number }[] {
  const entries: { ref: Ref; sinceMs: number }[] = [];
  const bytes = Buffer.from(saved);
  for (let at = 5; at < bytes.length; at += 38) {
    entries.push({ ref: refFromBytes(bytes.subarray(at, at + 32)), sinceMs: bytes.readUIntBE(at + 32, 6) });
  }
  return entries;
}

describe("gc with a grace period that gives up", () => {
  it("keeps every candidate that it has not deleted, with its age and in order, and the next run deletes it", {
    timeout: 60_000,
  }, async () => {
    const blob = fc.record({ isNew: fc.boolean(), fails: fc.boolean(), delay: fc.nat(6) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(blob, { maxLength: 60 }),
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 6 }),
        async (blobs, concurrency, maxConsecutiveFailures) => {
          const inner = memoryStore();
          const clock = new HandClock();
          const candidates = memoryCandidateStore();
          let isBad = true;
          const wanted = new Map<Ref, (typeof blobs)[number]>();
          for (const [n, each] of blobs.entries()) wanted.set(refOf(blobOf(n)), each);
          const asked = new Set<Ref>();
          const store = deleting(inner, async (ref) => {
            const { fails = false, delay = 0 } = wanted.get(ref) ?? {};
            asked.add(ref);
            for (let n = 0; n < delay; n++) await undefined;
            if (isBad && fails) throw new BlobError("unavailable", "not now");
            return (await inner.delete?.(ref)) ?? false;
          });
          const guard = gcGuard(store, { references, clock, keepMs: 0 });
          const run = () =>
            gc(guard, {
              roots: () => [],
              grace: { afterMs: 1000, candidates },
              concurrency,
              maxConsecutiveFailures,
            });
          for (const [n, { isNew }] of blobs.entries()) if (!isNew) await inner.put(blobOf(n));
          await run();
          const firstMs = clock.nowMs;
          clock.nowMs += 1000;
          for (const [n, { isNew }] of blobs.entries()) if (isNew) await inner.put(blobOf(n));
          const report = await run();
          const left = await collect(inner.listRefs());
          const due = [...wanted.values()].filter(({ isNew }) => !isNew).length;
          expect(report.deleted + report.failed + report.skipped).toBe(due);
          expect(report.skipped).toBe(due - asked.size);
          expect(report.candidates).toBe(left.length);
          expect(entriesOf((await candidates.load()) as Uint8Array)).toEqual(
            left.map((ref) => ({ ref, sinceMs: wanted.get(ref)?.isNew ? clock.nowMs : firstMs })),
          );
          isBad = false;
          expect(await run()).toMatchObject({ deleted: report.failed + report.skipped, skipped: 0 });
          clock.nowMs += 1000;
          expect(await run()).toMatchObject({ failed: 0, candidates: 0 });
          expect(await collect(inner.listRefs())).toEqual([]);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("asks no more when a blob was last put, either, and has no more candidates than it may", async () => {
    const { inner, garbage } = await garbageStore(40);
    const clock = new HandClock();
    const candidates = memoryCandidateStore();
    let isBad = true;
    const lookedUp: Ref[] = [];
    const store = deleting(inner, async (ref) => {
      if (isBad) throw new BlobError("unavailable", "not now");
      return (await inner.delete?.(ref)) ?? false;
    });
    const guard = gcGuard(store, { references, clock, keepMs: 0 });
    const lastPutMs = async (ref: Ref): Promise<undefined> => {
      lookedUp.push(ref);
    };
    const run = (maxCandidates = 40) =>
      gc(guard, {
        roots: () => [],
        grace: { afterMs: 1000, candidates, lastPutMs, maxCandidates },
        concurrency: 1,
        maxConsecutiveFailures: 5,
      });
    await run();
    clock.nowMs += 1000;
    expect(await run(30)).toMatchObject({ failed: 5, skipped: 35, candidates: 30, candidatesDropped: 10 });
    expect(lookedUp).toEqual(garbage.slice(0, 5));
    isBad = false;
    expect(await run()).toMatchObject({ deleted: 30, skipped: 0, candidates: 10 });
    expect(await collect(inner.listRefs())).toEqual(garbage.slice(30));
  });
});
