import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  type GcProgress,
  gc,
  gcGuard,
  memoryCandidateStore,
  memoryStore,
  type Ref,
  refOf,
  refToBytes,
} from "../src/index.js";
import { collect } from "../src/testing/fixture.js";
import { blobOf, deleting, garbageStore, noReferences as references, turns } from "./gc-support.js";

/** How it answers the deletes one after the other, and the rest as the last one. */
type Answers = readonly ("fails" | "deletes" | "lacks")[];

/** A store that is to answer so, one delete at a time, and how the run went. */
async function runOf(count: number, answers: Answers, maxConsecutiveFailures: number) {
  const { inner } = await garbageStore(count);
  let asked = 0;
  const store = deleting(inner, async (ref) => {
    const answer = answers[Math.min(asked++, answers.length - 1)];
    if (answer === "fails") throw new BlobError("unavailable", "not now");
    if (answer === "deletes") return (await inner.delete?.(ref)) ?? false;
    await inner.delete?.(ref); // by somebody else, just before
    return false;
  });
  const guard = gcGuard(store, { references });
  const report = await gc(guard, { roots: () => [], concurrency: 1, maxConsecutiveFailures });
  const { listed, garbage, deleted, failed, skipped } = report;
  return { asked, listed, garbage, deleted, failed, skipped };
}

describe("gc of a store whose deletes all fail", () => {
  it.each([
    { concurrency: undefined, max: undefined, least: 100, most: 115 },
    { concurrency: 1, max: undefined, least: 100, most: 100 },
    { concurrency: 80, max: undefined, least: 160, most: 239 },
    { concurrency: 1, max: 1, least: 1, most: 1 },
    { concurrency: 16, max: 3, least: 3, most: 18 },
    { concurrency: 4, max: 250, least: 250, most: 253 },
  ])(
    "asks $least times and those that are under way, and counts the rest: $concurrency at a time, limit $max",
    async ({ concurrency, max, least, most }) => {
      const { inner, garbage } = await garbageStore(3000);
      let asked = 0;
      let isBad = true;
      const store = deleting(inner, async (ref) => {
        if (!isBad) return (await inner.delete?.(ref)) ?? false;
        await turns(asked++ % 3);
        throw new BlobError("unavailable", `no answer for ${ref}`);
      });
      const guard = gcGuard(store, { references });
      const progress: GcProgress[] = [];
      const options = {
        roots: () => [],
        onProgress: (each: GcProgress) => progress.push(each),
        ...(concurrency !== undefined && { concurrency }),
        ...(max !== undefined && { maxConsecutiveFailures: max }),
      };
      const report = await gc(guard, options);
      expect(asked).toBeGreaterThanOrEqual(least);
      expect(asked).toBeLessThanOrEqual(most);
      expect(report).toMatchObject({
        listed: 3000,
        garbage: 3000,
        deleted: 0,
        failed: asked,
        skipped: 3000 - asked,
        candidates: 0,
      });
      expect(report.failures).toHaveLength(Math.min(100, asked));
      expect(progress.at(-1)).toMatchObject({ failed: asked, skipped: 3000 - asked });
      expect(await collect(inner.listRefs())).toEqual(garbage);
      isBad = false;
      expect(await gc(guard, options)).toMatchObject({ deleted: 3000, failed: 0, skipped: 0, failures: [] });
    },
  );

  it("goes on where all that were under way at the same moment fail, and then no more", async () => {
    const { inner, garbage } = await garbageStore(1000);
    let asked = 0;
    const store = deleting(inner, async (ref) => {
      if (++asked <= 256) throw new BlobError("unavailable", "the connection was lost");
      return (await inner.delete?.(ref)) ?? false;
    });
    const report = await gc(gcGuard(store, { references }), { roots: () => [], concurrency: 256 });
    expect(report).toMatchObject({ deleted: 744, failed: 256, skipped: 0 });
    expect(await collect(inner.listRefs())).toHaveLength(garbage.length - 744);
  });

  it("counts anew after one that was deleted, or that was gone already", async () => {
    const twice: Answers = ["fails", "fails", "deletes", "fails", "fails", "lacks", "fails", "fails"];
    expect(await runOf(20, [...twice, "deletes"], 3)).toEqual({
      asked: 20,
      listed: 20,
      garbage: 20,
      deleted: 13,
      failed: 6,
      skipped: 0,
    });
    expect(await runOf(20, [...twice, "fails", "deletes"], 3)).toEqual({
      asked: 9,
      listed: 20,
      garbage: 20,
      deleted: 1,
      failed: 7,
      skipped: 11,
    });
  });

  it("skips nothing when the last of all is the one that was too many", async () => {
    expect(await runOf(3, ["fails"], 3)).toMatchObject({ asked: 3, failed: 3, skipped: 0 });
  });

  it("does not count as an answer that a blob was put meanwhile, and the store was not asked", async () => {
    const { inner, garbage } = await garbageStore(20);
    const contents = new Map(Array.from({ length: 20 }, (_, n) => [refOf(blobOf(n)), blobOf(n)]));
    let asked = 0;
    const store = deleting(inner, async () => {
      asked++;
      throw new BlobError("unavailable", "not now");
    });
    const guard = gcGuard(store, { references, keepMs: 0 });
    // Every second one, when the sweep has it in its hands.
    const lastPutMs = async (ref: Ref): Promise<undefined> => {
      if (garbage.indexOf(ref) % 2 === 1) await guard.put(contents.get(ref) as Uint8Array);
    };
    const grace = { afterMs: 0, candidates: memoryCandidateStore(), lastPutMs };
    const run = () => gc(guard, { roots: () => [], grace, concurrency: 1, maxConsecutiveFailures: 3 });
    await run();
    expect(await run()).toMatchObject({ deleted: 0, failed: 3, skipped: 15 });
    expect(asked).toBe(3);
  });

  it("stays so when one that was under way succeeds after all", async () => {
    const { inner, garbage } = await garbageStore(50);
    let others = 0;
    let isDeleted = false;
    const asked: Ref[] = [];
    const store: BlobStore = {
      ...deleting(inner, async (ref) => {
        asked.push(ref);
        if (ref === garbage[0]) {
          while (others < 3) await turns(1);
          await inner.delete?.(ref);
          isDeleted = true;
          return true;
        }
        others++;
        throw new BlobError("unavailable", "not now");
      }),
      async *listRefPages() {
        for (const [i, ref] of garbage.entries()) {
          while (i >= 10 && !isDeleted) await turns(1);
          yield refToBytes(ref);
        }
      },
    };
    const guard = gcGuard(store, { references });
    const report = await gc(guard, { roots: () => [], concurrency: 2, maxConsecutiveFailures: 3 });
    expect(asked).toHaveLength(4);
    expect(report).toMatchObject({ garbage: 50, deleted: 1, failed: 3, skipped: 46 });
    expect(await collect(inner.listRefs())).toEqual(garbage.slice(1));
  });

  it("ends with the caller's reason when aborted afterwards, and with the error of a store that can delete nothing at all", async () => {
    const { inner, garbage } = await garbageStore(5000);
    const controller = new AbortController();
    const reason = new Error("enough");
    const store = deleting(inner, async () => {
      throw new BlobError("unavailable", "not now");
    });
    const options = { roots: () => [], concurrency: 1, maxConsecutiveFailures: 2 };
    const running = gc(gcGuard(store, { references }), {
      ...options,
      signal: controller.signal,
      onProgress: ({ skipped }) => skipped > 0 && controller.abort(reason),
    });
    await expect(running).rejects.toBe(reason);
    let asked = 0;
    const unable = deleting(inner, async () => {
      const n = asked++;
      await turns(n);
      throw new BlobError(n < 2 ? "unavailable" : "unsupported", "it cannot");
    });
    // It says so when the second failure has been too many.
    const ended = gc(gcGuard(unable, { references }), { ...options, concurrency: 3 });
    await expect(ended).rejects.toMatchObject({ code: "unsupported" });
    expect(asked).toBeLessThanOrEqual(4);
    expect(await collect(inner.listRefs())).toEqual(garbage);
  });

  it("is no matter for a run that only counts", async () => {
    const { inner } = await garbageStore(10);
    const store = deleting(inner, () => Promise.reject(new Error("nobody asks")));
    const guard = gcGuard(store, { references });
    const report = await gc(guard, { roots: () => [], dryRun: true, maxConsecutiveFailures: 1 });
    expect(report).toMatchObject({ garbage: 10, deleted: 0, failed: 0, skipped: 0 });
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "5" as never])(
    "refuses %s as the number of failures in a row",
    async (maxConsecutiveFailures) => {
      const guard = gcGuard(memoryStore(), { references });
      const running = gc(guard, { roots: () => [], maxConsecutiveFailures });
      await expect(running).rejects.toMatchObject({ code: "invalid-argument" });
      // And another run may begin.
      expect(await gc(guard, { roots: () => [] })).toMatchObject({ garbage: 0 });
    },
  );
});
