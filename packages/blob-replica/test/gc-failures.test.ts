import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  gc,
  gcGuard,
  memoryCandidateStore,
  memoryStore,
  parseRef,
  type Ref,
  refOf,
  refToBytes,
} from "../src/index.js";
import { CandidateReader, CandidateWriter } from "../src/maintenance/candidates.js";
import { collect } from "../src/testing/fixture.js";
import { deleting, HandClock, turns } from "./gc-support.js";

/** A blob of the tests: a number, and the refs that it refers to. */
function blobOf(n: number, children: readonly Ref[] = []): Uint8Array {
  return new TextEncoder().encode([`node ${n}`, ...children].join("\n"));
}

function references(blob: Uint8Array): Ref[] {
  const [first, ...rest] = new TextDecoder().decode(blob).split("\n");
  return first?.startsWith("node ") ? rest.map(parseRef) : [];
}

/** A store with a root that leads to ten blobs, and garbage, in the order of its refs. */
async function withGarbage(
  count: number,
): Promise<{ inner: BlobStore; root: Ref; kept: Ref[]; garbage: Ref[] }> {
  const inner = memoryStore();
  const kept: Ref[] = [];
  for (let n = 0; n < 10; n++) kept.push((await inner.put(blobOf(n))).ref);
  const { ref: root } = await inner.put(blobOf(10, kept));
  const garbage: Ref[] = [];
  for (let n = 0; n < count; n++) garbage.push((await inner.put(blobOf(1000 + n))).ref);
  return { inner, root, kept: [...kept, root].sort(), garbage: garbage.sort() };
}

describe("gc of a store that fails to delete", () => {
  it.each([1, 16])(
    "deletes all that it can, tells what it could not, and the next run deletes that: %i at a time",
    async (concurrency) => {
      const { inner, root, kept, garbage } = await withGarbage(300);
      const bad = new Set(garbage.filter((_, i) => i === 0 || i % 7 === 3));
      const error = new BlobError("refused", "it is held");
      let isBad = true;
      const store = deleting(inner, (ref) => {
        if (!isBad || !bad.has(ref)) return inner.delete!(ref);
        if (ref === garbage[0]) throw error; // also one that is no promise
        return Promise.reject(error);
      });
      const guard = gcGuard(store, { references });
      const progress: number[] = [];
      const options = {
        roots: () => [root],
        concurrency,
        onProgress: ({ failed }: { readonly failed: number }) => progress.push(failed),
      };
      const report = await gc(guard, options);
      expect(report).toMatchObject({
        garbage: 300,
        deleted: 300 - bad.size,
        failed: bad.size,
        candidates: 0,
      });
      expect(report.failures.map(({ ref }) => ref).sort()).toEqual([...bad]);
      for (const failure of report.failures) expect(failure.error).toBe(error);
      expect(progress.at(-1)).toBe(bad.size);
      expect(await collect(inner.listRefs())).toEqual([...kept, ...bad].sort());
      isBad = false;
      expect(await gc(guard, options)).toMatchObject({
        garbage: bad.size,
        deleted: bad.size,
        failed: 0,
        failures: [],
      });
      expect(await collect(inner.listRefs())).toEqual(kept);
    },
  );

  it("tries what failed again without another wait, and what became garbage meanwhile waits as ever", async () => {
    const { inner, root, kept, garbage } = await withGarbage(200);
    const clock = new HandClock();
    const bad = new Set(garbage.filter((_, i) => i % 3 === 1));
    let isBad = true;
    // They fail in another order than that of their refs, and behind candidates that come later.
    let calls = 0;
    const store = deleting(inner, async (ref) => {
      if (isBad && bad.has(ref)) {
        await turns(1 + ((calls++ * 7) % 11));
        throw new Error("not now");
      }
      return (await inner.delete?.(ref)) ?? false;
    });
    const guard = gcGuard(store, { references, clock, keepMs: 0 });
    const grace = { afterMs: 1000, candidates: memoryCandidateStore() };
    const run = () => gc(guard, { roots: () => [root], grace, concurrency: 5 });
    expect(await run()).toMatchObject({ deleted: 0, candidates: 200 });
    clock.nowMs += 1000;
    const later: Ref[] = [];
    for (let n = 0; n < 100; n++) later.push((await inner.put(blobOf(5000 + n))).ref);
    expect(await run()).toMatchObject({
      deleted: 200 - bad.size,
      failed: bad.size,
      candidates: bad.size + 100,
    });
    expect(await collect(inner.listRefs())).toEqual([...kept, ...bad, ...later].sort());
    // As often as it takes.
    expect(await run()).toMatchObject({ deleted: 0, failed: bad.size, candidates: bad.size + 100 });
    isBad = false;
    expect(await run()).toMatchObject({ deleted: bad.size, failed: 0, candidates: 100 });
    expect(await collect(inner.listRefs())).toEqual([...kept, ...later].sort());
    clock.nowMs += 1000;
    expect(await run()).toMatchObject({ deleted: 100, failed: 0, candidates: 0 });
    expect(await collect(inner.listRefs())).toEqual(kept);
  });

  it("ends with the caller's reason where deletes hang, when it has deleted the others, and the next run deletes those", async () => {
    const { inner, root, kept, garbage } = await withGarbage(100);
    const hanging = new Set(garbage.slice(0, 3));
    const controller = new AbortController();
    const reason = new Error("enough");
    let isBad = true;
    let deleted = 0;
    const store = deleting(inner, async (ref, { signal }) => {
      if (isBad && hanging.has(ref)) {
        return await new Promise<boolean>((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      }
      if (++deleted === 97 && isBad) controller.abort(reason);
      return (await inner.delete?.(ref)) ?? false;
    });
    const guard = gcGuard(store, { references, keepMs: 0 });
    const candidates = memoryCandidateStore();
    const options = { roots: () => [root], concurrency: 4 };
    await gc(guard, { ...options, grace: { afterMs: 0, candidates } });
    const running = gc(guard, { ...options, grace: { afterMs: 0, candidates }, signal: controller.signal });
    await expect(running).rejects.toBe(reason);
    expect(await collect(inner.listRefs())).toEqual([...kept, ...hanging].sort());
    isBad = false;
    expect(await gc(guard, { ...options, grace: { afterMs: 0, candidates } })).toMatchObject({
      deleted: 3,
      failed: 0,
    });
    expect(await collect(inner.listRefs())).toEqual(kept);
  });

  it("keeps the causes of a hundred, and no more candidates than it may, when all fail", {
    timeout: 60_000,
  }, async () => {
    const { inner, root, kept, garbage } = await withGarbage(5000);
    let running = 0;
    let most = 0;
    let isBad = false;
    const store = deleting(inner, async (ref) => {
      if (!isBad) return (await inner.delete?.(ref)) ?? false;
      most = Math.max(most, ++running);
      await turns(1);
      running--;
      throw new BlobError("unavailable", `no answer for ${ref}`);
    });
    const clock = new HandClock();
    const guard = gcGuard(store, { references, clock, keepMs: 0 });
    const candidates = memoryCandidateStore();
    const run = (maxCandidates: number) =>
      gc(guard, {
        roots: () => [root],
        maxConsecutiveFailures: 5000,
        grace: { afterMs: 1000, candidates, maxCandidates },
      });
    expect(await run(5000)).toMatchObject({ candidates: 5000, candidatesDropped: 0 });
    clock.nowMs += 1000;
    isBad = true;
    const report = await run(300);
    expect(report).toMatchObject({ deleted: 0, failed: 5000, candidates: 300, candidatesDropped: 4700 });
    expect(report.failures).toHaveLength(100);
    expect(report.failures[0]?.error).toMatchObject({ code: "unavailable" });
    expect(most).toBe(16);
    isBad = false;
    // Those that there was room for go at once, the others wait anew.
    expect(await run(5000)).toMatchObject({ deleted: 300, failed: 0, candidates: 4700 });
    expect(await collect(inner.listRefs())).toEqual([...kept, ...garbage.slice(300)].sort());
  });

  it("has no candidate of a blob that was put again while its delete was failing", async () => {
    const { inner, root } = await withGarbage(1);
    const clock = new HandClock();
    let again: Promise<unknown> | undefined;
    const store = deleting(inner, async () => {
      again = guard.put(blobOf(1000));
      await turns(3);
      throw new Error("not now");
    });
    const guard = gcGuard(store, { references, clock, keepMs: 0 });
    const grace = { afterMs: 1000, candidates: memoryCandidateStore() };
    const run = () => gc(guard, { roots: () => [root], grace });
    await run();
    clock.nowMs += 5000;
    expect(await run()).toMatchObject({ failed: 1, candidates: 0 });
    expect(await again).toMatchObject({ added: false });
  });

  it("deletes nothing more once it is unknown what must be kept, whatever else fails", async () => {
    const { inner, root, garbage } = await withGarbage(100);
    // What is put meanwhile refers to a blob that cannot be read.
    const { ref: unreadable } = await inner.put(blobOf(7000));
    let deletes = 0;
    const store: BlobStore = {
      ...deleting(inner, async () => {
        if (++deletes === 1) await guard.put(blobOf(7001, [unreadable]));
        throw new Error("not now");
      }),
      get: (ref) =>
        ref === unreadable ? Promise.reject(new BlobError("refused", "not yours")) : inner.get(ref),
    };
    const guard = gcGuard(store, { references, keepMs: 0 });
    await expect(gc(guard, { roots: () => [root], concurrency: 1 })).rejects.toMatchObject({
      code: "refused",
    });
    expect(deletes).toBe(1);
    expect((await collect(inner.listRefs())).length).toBeGreaterThan(garbage.length);
  });

  it("asks once where the store can delete nothing", async () => {
    const { inner, root } = await withGarbage(100);
    let deletes = 0;
    const store = deleting(inner, async () => {
      deletes++;
      throw new BlobError("unsupported", "one of its stores cannot delete");
    });
    const running = gc(gcGuard(store, { references }), { roots: () => [root], concurrency: 1 });
    await expect(running).rejects.toMatchObject({ code: "unsupported" });
    expect(deletes).toBe(1);
  });
});

describe("the candidates that are written", () => {
  it("are in the order of their refs, whatever was inserted where, and no more than they may be", () => {
    const refs = Array.from({ length: 60 }, (_, n) => refOf(blobOf(n))).sort();
    fc.assert(
      fc.property(
        fc.nat(70),
        fc.array(fc.record({ isLate: fc.boolean(), delay: fc.nat(20) }), { maxLength: refs.length }),
        (max, steps) => {
          const writer = new CandidateWriter(max);
          const model = new Map<Ref, number>();
          let dropped = 0;
          const late: { readonly n: number; readonly at: number }[] = [];
          const insertUntil = (now: number): void => {
            for (const each of late.splice(0).sort((a, b) => a.at - b.at)) {
              if (each.at > now) {
                late.push(each);
                continue;
              }
              const ref = refs[each.n] as Ref;
              writer.insert(refToBytes(ref), each.n);
              model.set(ref, each.n);
              if (model.size > max) {
                model.delete([...model.keys()].sort().at(-1) as Ref);
                dropped++;
              }
            }
          };
          for (const [n, { isLate, delay }] of steps.entries()) {
            insertUntil(n);
            if (isLate) late.push({ n, at: n + delay });
            else if (model.size < max) {
              writer.add(refToBytes(refs[n] as Ref), 0, n);
              model.set(refs[n] as Ref, n);
            } else {
              writer.add(refToBytes(refs[n] as Ref), 0, n);
              dropped++;
            }
          }
          insertUntil(Number.POSITIVE_INFINITY);
          expect(writer.count).toBe(model.size);
          expect(writer.dropped).toBe(dropped);
          const reader = new CandidateReader(writer.bytes);
          for (const ref of refs) expect(reader.sinceMs(refToBytes(ref), 0)).toBe(model.get(ref));
        },
      ),
    );
  });
});
