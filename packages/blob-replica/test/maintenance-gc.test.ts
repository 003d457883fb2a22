import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Clock } from "../src/clock.js";
import { memoryAnchorStore } from "../src/content/anchor-store.js";
import { anchorReferences, anchors } from "../src/content/anchors.js";
import { join as joinContent, treeReferences } from "../src/content/blob-tree.js";
import { split } from "../src/content/split.js";
import { BlobError, type BlobStore, memoryStore, type Ref, refOf } from "../src/index.js";
import { fileCandidateStore, memoryCandidateStore } from "../src/maintenance/candidates.js";
import { gc } from "../src/maintenance/gc.js";
import { gcGuard } from "../src/maintenance/gc-guard.js";
import { RefSet } from "../src/maintenance/ref-set.js";
import { parseRef } from "../src/ref.js";

/** A blob of the tests: a number, and the refs that it refers to. */
function blobOf(n: number, children: readonly Ref[] = []): Uint8Array {
  return new TextEncoder().encode([`node ${n}`, ...children].join("\n"));
}

function references(blob: Uint8Array): Ref[] {
  const [first, ...rest] = new TextDecoder().decode(blob).split("\n");
  return first?.startsWith("node ") ? rest.map(parseRef) : [];
}

async function refsOf(store: BlobStore): Promise<Ref[]> {
  const refs: Ref[] = [];
  for await (const ref of store.listRefs()) refs.push(ref);
  return refs;
}

class HandClock implements Clock {
  nowMs = 1_000_000;
  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }
  setTimer(): () => void {
    throw new Error("nobody waits");
  }
}

/** xorshift32: the same interleaving for the same seed. */
function chance(seed: number): (below: number) => number {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/** Each call takes a while before and after it has its effect. Deletes may fail, with and without having had it. */
function slowed(store: BlobStore, pause: () => Promise<void>, fails: () => boolean): BlobStore {
  const unlessFailing = (): void => {
    if (fails()) throw new BlobError("unavailable", "not now");
  };
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    await pause();
    try {
      return await work();
    } finally {
      await pause();
    }
  };
  return {
    get: (ref) => around(() => store.get(ref)),
    put: (blob, options) => around(() => store.put(blob, options)),
    has: (ref) => around(() => store.has!(ref)),
    delete: (ref) =>
      around(async () => {
        unlessFailing();
        const deleted = await store.delete!(ref);
        unlessFailing();
        return deleted;
      }),
    async *listRefs(after) {
      for await (const ref of store.listRefs(after)) {
        await pause();
        yield ref;
      }
    },
  };
}

async function reachable(store: BlobStore, roots: Iterable<Ref>): Promise<Set<Ref>> {
  const seen = new Set<Ref>();
  const stack = [...roots];
  for (let ref = stack.pop(); ref !== undefined; ref = stack.pop()) {
    if (seen.has(ref)) continue;
    seen.add(ref);
    stack.push(...references(await store.get(ref))); // throws when it is lost
  }
  return seen;
}

describe("gc", () => {
  it("loses nothing that is put, put again, touched or rooted while it runs, in any interleaving", {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.constantFrom(0, 5, 1e9),
        async (seed, keepMs) => {
          const random = chance(seed);
          const inner = memoryStore();
          const clock = new HandClock();
          let failing = true;
          const pause = async () => {
            for (let n = random(5); n > 0; n--) await undefined;
            clock.nowMs += random(3);
          };
          const guard = gcGuard(
            slowed(inner, pause, () => failing && random(20) === 0),
            { references, keepMs, clock },
          );
          const roots = new Map<string, Ref>();
          const known: Ref[] = []; // of which many are garbage
          const contents = new Map<Ref, Uint8Array>();
          const fresh = new Set<Ref>(); // put or touched since the last run began
          let runNow = 0; // 0: none
          let count = 0;
          /** What began in a run and has ended must be there at its end. */
          const inRun = async <T>(
            work: () => Promise<T>,
            refIn: (result: T) => Ref | undefined,
          ): Promise<T> => {
            const before = runNow;
            const result = await work();
            const ref = refIn(result);
            if (ref !== undefined && runNow !== 0 && runNow === before) fresh.add(ref);
            return result;
          };

          /** What a client may refer to, and a root may point to: what its own root leads to, and what it has touched. */
          const client = async (name: string): Promise<void> => {
            for (let step = 0; step < 25; step++) {
              const mine = roots.get(name);
              const touched: Ref[] = [];
              for (let n = random(3); n > 0 && known.length > 0; n--) {
                const ref = known[random(known.length)]!;
                if (
                  await inRun(
                    () => guard.touch(ref),
                    (whole) => (whole ? ref : undefined),
                  )
                )
                  touched.push(ref);
              }
              const below = mine ? references(contents.get(mine)!) : [];
              // While this client's own root leads to it, what it refers to stays.
              const children = [
                ...new Set([...touched, ...(mine && random(2) ? [mine] : []), ...below.slice(0, random(3))]),
              ];
              const action = random(6);
              if (action === 0) {
                if (keepMs > 5 || touched.length === 0) roots.delete(name);
              } else if (action === 1 && touched[0] !== undefined && keepMs > 5) {
                roots.set(name, touched[0]);
              } else {
                // The old one again, or a new one.
                const again =
                  random(3) === 0
                    ? [...contents].find(([, blob]) => references(blob).length === 0)
                    : undefined;
                const blob =
                  again?.[1] ??
                  blobOf(
                    count++,
                    keepMs > 5 ? children : children.filter((ref) => ref === mine || below.includes(ref)),
                  );
                const { ref } = await inRun(
                  () => guard.put(blob),
                  (result) => result.ref,
                );
                contents.set(ref, blob);
                known.push(ref);
                // Without a time for which it is kept, only a run that has begun before the put keeps it: the root comes at once.
                if (random(2) || keepMs <= 5) roots.set(name, ref);
              }
              await pause();
            }
          };
          const collector = async (): Promise<void> => {
            for (let run = 1; run <= 3; run++) {
              fresh.clear();
              runNow = run;
              await gc(guard, {
                concurrency: 1 + random(3),
                roots: async function* () {
                  for (const name of ["a", "b", "c"]) {
                    await pause();
                    const ref = roots.get(name);
                    if (ref) yield ref;
                  }
                },
              });
              runNow = 0;
              for (const ref of fresh) expect(await inner.has?.(ref)).toBe(true);
              await reachable(inner, roots.values());
            }
          };
          await Promise.all([client("a"), client("b"), client("c"), collector()]);
          await reachable(inner, roots.values());
          // When nobody writes any more and nothing is recent, exactly the garbage goes.
          clock.nowMs += 3e9;
          failing = false;
          const report = await gc(guard, { roots: () => roots.values() });
          const left = await reachable(inner, roots.values());
          expect(await refsOf(inner)).toEqual([...left].sort());
          expect(report).toMatchObject({ marked: left.size, deleted: report.garbage });
        },
      ),
      { numRuns: 150 },
    );
  });

  it("keeps a blob that is put again while it is being deleted", async () => {
    const inner = memoryStore();
    const { ref } = await inner.put(blobOf(1));
    let again: Promise<unknown> | undefined;
    const guard = gcGuard(
      {
        get: (each) => inner.get(each),
        put: (blob) => inner.put(blob),
        listRefs: (after) => inner.listRefs(after),
        async delete(each) {
          again = guard.put(blobOf(1));
          await new Promise((resolve) => setImmediate(resolve));
          return (await inner.delete?.(each)) ?? false;
        },
      },
      { references },
    );
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ deleted: 1 });
    expect(await again).toEqual({ ref, added: true });
    expect(await refsOf(inner)).toEqual([ref]);
  });

  it("keeps what was put before it for as long as it is told", async () => {
    const clock = new HandClock();
    const guard = gcGuard(memoryStore(), { references, keepMs: 1000, clock });
    const { ref: child } = await guard.put(blobOf(1));
    const { ref } = await guard.put(blobOf(2, [child]));
    clock.nowMs += 900;
    await guard.put(blobOf(2, [child])); // and keeps what it refers to
    clock.nowMs += 900;
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ marked: 2, deleted: 0 });
    expect(await refsOf(guard)).toEqual([child, ref].sort());
    clock.nowMs += 1000;
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ marked: 0, deleted: 2 });
  });

  it("deletes nothing when a blob that is referred to is missing, damaged, or the store does not answer", async () => {
    const problems: (readonly [string, (ref: Ref, store: BlobStore) => Promise<Uint8Array>])[] = [
      ["not-found", async () => Promise.reject(new BlobError("not-found", "gone"))],
      ["corrupt", async () => blobOf(99)],
      ["unavailable", async () => Promise.reject(new BlobError("unavailable", "no answer"))],
    ];
    for (const [code, get] of problems) {
      const inner = memoryStore();
      const { ref: child } = await inner.put(blobOf(1));
      const { ref: root } = await inner.put(blobOf(2, [child]));
      await inner.put(blobOf(3));
      const store: BlobStore = {
        get: (ref) => (ref === child ? get(ref, inner) : inner.get(ref)),
        put: (blob) => inner.put(blob),
        listRefs: (after) => inner.listRefs(after),
        delete: (ref) => inner.delete!(ref),
      };
      const guard = gcGuard(store, { references });
      await expect(gc(guard, { roots: () => [root] })).rejects.toMatchObject({ code });
      expect(await refsOf(inner)).toHaveLength(3);
      // Nor when that is found out only for a blob that was put lately; a missing one is nothing new there.
      const put = gcGuard(store, { references });
      await put.put(blobOf(2, [child]));
      const run = gc(put, { roots: () => [] });
      if (code === "not-found") expect(await run).toMatchObject({ deleted: 1 });
      else await expect(run).rejects.toMatchObject({ code });
      expect(await refsOf(inner)).toHaveLength(code === "not-found" ? 2 : 3);
    }
  });

  it("refuses a reference that is none, more marks than it may have, a second run, and stores that cannot delete", async () => {
    const store = memoryStore();
    await store.put(blobOf(7));
    const { ref } = await store.put(blobOf(1, [refOf(blobOf(7))]));
    const wrong = gcGuard(store, { references: () => ["x" as Ref] });
    await expect(gc(wrong, { roots: () => [ref] })).rejects.toMatchObject({ code: "invalid-ref" });
    const guard = gcGuard(store, { references });
    await expect(gc(guard, { roots: () => [ref], maxMarked: 1 })).rejects.toMatchObject({ code: "full" });
    const first = gc(guard, { roots: () => [ref] });
    await expect(gc(guard, { roots: () => [] })).rejects.toMatchObject({ code: "conflict" });
    expect(await first).toMatchObject({ marked: 2, deleted: 0 });
    const reading: BlobStore = {
      get: (each) => store.get(each),
      put: (blob) => store.put(blob),
      listRefs: (after) => store.listRefs(after),
    };
    await expect(gc(gcGuard(reading, { references }), { roots: () => [] })).rejects.toMatchObject({
      code: "unsupported",
    });
    expect(await gc(gcGuard(reading, { references }), { roots: () => [ref], dryRun: true })).toMatchObject({
      garbage: 0,
      deleted: 0,
    });
    expect(await gc(gcGuard(reading, { references }), { roots: () => [], dryRun: true })).toMatchObject({
      garbage: 2,
      deleted: 0,
    });
    await expect(
      gc({ ...guard, touch: async () => true } as never, { roots: () => [] }),
    ).rejects.toMatchObject({ code: "invalid-argument" });
  });

  it("ends with the caller's reason, and another run does the rest", async () => {
    const store = memoryStore();
    for (let n = 0; n < 100; n++) await store.put(blobOf(n));
    const guard = gcGuard(store, { references });
    const controller = new AbortController();
    const reason = new Error("enough");
    await expect(
      gc(guard, {
        roots: () => [],
        signal: controller.signal,
        onProgress: ({ phase }) => phase === "mark" && controller.abort(reason),
      }),
    ).rejects.toBe(reason);
    expect(await refsOf(store)).toHaveLength(100);
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ listed: 100, deleted: 100 });
  });

  it("marks trees and anchors, and reads no chunk for it", { timeout: 30_000 }, async () => {
    const inner = memoryStore();
    const got = new Set<Ref>();
    const store: BlobStore = {
      get(ref) {
        got.add(ref);
        return inner.get(ref);
      },
      put: (blob, options) => inner.put(blob, options),
      listRefs: (after) => inner.listRefs(after),
      delete: (ref) => inner.delete!(ref),
    };
    const clock = new HandClock();
    const guard = gcGuard(store, {
      references: (blob) => [...treeReferences(blob), ...anchorReferences(blob)],
      keepMs: 1000,
      clock,
    });
    const cell = memoryAnchorStore();
    const names = anchors(guard, cell, { clock });
    const content = new Uint8Array(300_000).map((_, i) => (i * i) >>> 7);
    const kept = await split(guard, content, { averageBytes: 1024 });
    await names.put("kept", kept);
    for (let n = 0; n < 10; n++) await split(guard, new Uint8Array(5000).fill(n), { averageBytes: 1024 });
    clock.nowMs += 5000;
    got.clear();
    const roots = async () => [await cell.load()].filter((ref) => ref !== undefined);
    const report = await gc(guard, {
      roots: async function* () {
        yield* await roots();
      },
    });
    expect(report.deleted).toBeGreaterThan(10);
    expect(got.size).toBeLessThan(20);
    const parts: Uint8Array[] = [];
    for await (const part of joinContent(inner, (await names.get("kept"))!.ref)) parts.push(part);
    expect(Buffer.compare(Buffer.concat(parts), content)).toBe(0);
    expect(await guard.touch(kept)).toBe(true);
    const chunk = treeReferences(await inner.get(kept))[0]!;
    await inner.delete?.(chunk.ref);
    expect(await guard.touch(kept)).toBe(false);
  });
});

describe("gc with a grace period", () => {
  it("deletes only what two runs found to be garbage, so long apart", async () => {
    const dir = await mkdtemp(join(tmpdir(), "blob-gc-"));
    try {
      for (const candidates of [
        memoryCandidateStore(),
        fileCandidateStore(join(dir, "state", "candidates")),
      ]) {
        const clock = new HandClock();
        const store = memoryStore(); // other processes put here, too
        const grace = { afterMs: 1000, candidates };
        const run = (roots: readonly Ref[]) =>
          gc(gcGuard(store, { references, clock }), { roots: () => roots, grace });
        const { ref: one } = await store.put(blobOf(1));
        expect(await run([])).toMatchObject({ garbage: 1, deleted: 0, candidates: 1 });
        clock.nowMs += 999;
        const { ref: two } = await store.put(blobOf(2));
        expect(await run([])).toMatchObject({ garbage: 2, deleted: 0, candidates: 2 });
        clock.nowMs += 1;
        expect(await run([])).toMatchObject({ garbage: 2, deleted: 1, candidates: 1 });
        expect(await refsOf(store)).toEqual([two]);
        // A root leads to it for a while: then it waits anew.
        clock.nowMs += 5000;
        expect(await run([two])).toMatchObject({ garbage: 0, candidates: 0 });
        expect(await run([])).toMatchObject({ deleted: 0, candidates: 1 });
        clock.nowMs += 1000;
        expect(await run([])).toMatchObject({ deleted: 1, candidates: 0 });
        expect(await store.has?.(one)).toBe(false);
      }
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it("asks when a blob was last put, where the caller can tell, and bounds its candidates", async () => {
    const clock = new HandClock();
    const store = memoryStore();
    const { ref } = await store.put(blobOf(1));
    const guard = gcGuard(store, { references, clock });
    const candidates = memoryCandidateStore();
    let putMs = 0;
    const grace = { afterMs: 1000, candidates, lastPutMs: async () => putMs };
    await gc(guard, { roots: () => [], grace });
    clock.nowMs += 1000;
    putMs = clock.nowMs - 10;
    expect(await gc(guard, { roots: () => [], grace })).toMatchObject({ deleted: 0, candidates: 1 });
    clock.nowMs += 1000;
    expect(await gc(guard, { roots: () => [], grace })).toMatchObject({ deleted: 1, candidates: 0 });
    for (let n = 0; n < 10; n++) await store.put(blobOf(n));
    expect(await gc(guard, { roots: () => [], grace: { ...grace, maxCandidates: 4 } })).toMatchObject({
      candidates: 4,
      candidatesDropped: 6,
    });
    expect(await store.has?.(ref)).toBe(true);
    await candidates.save(new Uint8Array(7));
    await expect(gc(guard, { roots: () => [], grace })).rejects.toMatchObject({ code: "bad-data" });
  });
});

describe("a set of refs", () => {
  it("is a set with flags, packed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(3000), fc.integer({ min: 1, max: 3 })), { maxLength: 3000 }),
        (adds) => {
          const set = new RefSet();
          const model = new Map<Ref, number>();
          for (const [n, flags] of adds) {
            const ref = refOf(blobOf(n));
            const before = model.get(ref) ?? 0;
            expect(set.add(ref, flags)).toBe(flags & ~before);
            model.set(ref, before | flags);
          }
          expect(set.size).toBe(model.size);
          expect(new Map([...set.entries()].map(({ ref, flags }) => [ref, flags]))).toEqual(model);
          for (let n = 0; n < 100; n++) expect(set.has(refOf(blobOf(n)))).toBe(model.has(refOf(blobOf(n))));
        },
      ),
      { numRuns: 20 },
    );
  });
});
