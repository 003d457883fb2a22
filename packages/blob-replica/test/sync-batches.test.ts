import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  memoryStore,
  type PutManyResult,
  type Ref,
  type Resume,
  refOf,
  sync,
} from "../src/index.js";
import { collect } from "../src/testing/fixture.js";

const blob = (n: number, size = 0): Uint8Array => {
  const text = new TextEncoder().encode(`blob ${n}`);
  const bytes = new Uint8Array(Math.max(size, text.length));
  bytes.set(text);
  return bytes;
};

async function storeOf(blobs: readonly Uint8Array[]): Promise<BlobStore> {
  const store = memoryStore();
  for (const each of blobs) await store.put(each);
  return store;
}

/** Only in batches, of which some results are failures, and some do not come. */
function batched(
  store: BlobStore,
  fails: () => "error" | "silent" | undefined,
): { store: BlobStore; gets: number[]; puts: number[][]; inMemory: () => number } {
  const gets: number[] = [];
  const puts: number[][] = [];
  let read = 0;
  let written = 0;
  const failure = new BlobError("unavailable", "not now");
  return {
    gets,
    puts,
    inMemory: () => read - written,
    store: {
      get: () => Promise.reject(new Error("one by one")),
      put: () => Promise.reject(new Error("one by one")),
      listRefs: (after, options) => store.listRefs(after, options),
      async *getMany(refs, options) {
        gets.push(refs.length);
        // In another order than they were asked for.
        for (const ref of [...refs].reverse()) {
          const how = fails();
          if (how === "silent") continue;
          if (how === "error") yield { ref, error: failure };
          else {
            const found = await store.get(ref, options);
            read += found.length;
            yield { ref, blob: found };
          }
        }
      },
      async putMany(blobs, options) {
        puts.push(blobs.map(({ length }) => length));
        const results = [];
        for (const [i, each] of blobs.entries()) {
          written += each.length;
          const ref = options?.refs?.[i] as Ref;
          const how = fails();
          if (how === "error") results.push({ ref, error: failure });
          else results.push(await store.put(each, { ref }));
        }
        return fails() === "silent" ? results.slice(0, -1) : results;
      },
    },
  };
}

const never = (): undefined => undefined;

describe("sync, in batches", () => {
  it("asks stores for many at once where they can, so many as it may", async () => {
    const blobs = Array.from({ length: 100 }, (_, n) => blob(n));
    const from = batched(await storeOf(blobs), never);
    const kept = memoryStore();
    const to = batched(kept, never);
    expect(await sync(from.store, to.store, { concurrency: 40 })).toMatchObject({
      complete: true,
      copied: 100,
    });
    expect(from.gets).toEqual([20, 20, 20, 20, 20]);
    expect(to.puts.map(({ length }) => length)).toEqual([20, 20, 20, 20, 20]);
    expect(await collect(kept.listRefs())).toEqual(blobs.map(refOf).sort());
  });

  it("has no more bytes in memory than two batches, and a blob for each", async () => {
    const blobs = Array.from({ length: 200 }, (_, n) => blob(n, 10_000));
    const from = batched(await storeOf(blobs), never);
    let most = 0;
    let total = 0;
    const kept = memoryStore();
    const to: BlobStore = {
      get: (ref) => kept.get(ref),
      put: () => Promise.reject(new Error("one by one")),
      listRefs: (after) => kept.listRefs(after),
      async putMany(written, options) {
        const bytes = written.reduce((sum, { length }) => sum + length, 0);
        most = Math.max(most, from.inMemory() - total);
        expect(bytes).toBeLessThan(50_000 + 10_000);
        const results = (await kept.putMany?.(written, options)) ?? [];
        total += bytes;
        return results;
      },
    };
    expect(await sync(from.store, to, { batchBytes: 50_000 })).toMatchObject({ complete: true, copied: 200 });
    expect(most).toBeLessThanOrEqual(2 * (50_000 + 10_000));
    expect(total).toBe(2_000_000);
  });

  it("tells the truth about what fails or never comes, and resumes to the end", {
    timeout: 60_000,
  }, async () => {
    const numbers = fc.uniqueArray(fc.nat(500), { maxLength: 200 });
    const share = fc.integer({ min: 1, max: 4 });
    await fc.assert(
      fc.asyncProperty(
        numbers,
        numbers,
        share,
        fc.infiniteStream(fc.nat(19)),
        async (ours, theirs, bad, chance) => {
          const kept = await storeOf(theirs.map((n) => blob(n)));
          let over = false;
          const fails = () => {
            const drawn = over ? 19 : (chance.next().value as number);
            return drawn < bad ? "error" : drawn === 10 ? "silent" : undefined;
          };
          const from = batched(await storeOf(ours.map((n) => blob(n))), fails).store;
          const to = batched(kept, fails).store;
          let resume: Resume | undefined;
          for (let run = 0; ; run++) {
            over = run === 4;
            const report = await sync(from, to, {
              concurrency: 10,
              maxFailed: 30,
              ...(resume && { resume }),
            });
            const there = new Set(await collect(kept.listRefs()));
            const absent = ours.map((n) => refOf(blob(n))).filter((ref) => !there.has(ref));
            // A put that was done and not answered counts as failed: that is all that is known of it.
            if (report.complete) expect(absent).toEqual([]);
            for (const ref of absent) {
              const later = report.resume.after === undefined || ref > report.resume.after;
              expect(later || report.resume.again.includes(ref)).toBe(true);
            }
            if (report.complete) break;
            expect(run).toBeLessThan(5);
            resume = JSON.parse(JSON.stringify(report.resume)) as Resume;
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("does not let what is missing wait for others that never come", async () => {
    const same = Array.from({ length: 40_000 }, (_, n) => blob(n));
    const from = await storeOf(same);
    const to = await storeOf(same);
    const first = (await collect(from.listRefs()))[0] as Ref;
    await to.delete?.(first);
    let comparedThen = 0;
    let compared = 0;
    const watched: BlobStore = {
      get: (ref) => to.get(ref),
      listRefs: (after) => to.listRefs(after),
      put(bytes, options) {
        comparedThen = compared;
        return to.put(bytes, options);
      },
    };
    const onProgress = (progress: { readonly compared: number }) => {
      compared = progress.compared;
    };
    expect(await sync(from, watched, { onProgress })).toMatchObject({ complete: true, copied: 1 });
    expect(comparedThen).toBeGreaterThan(0);
    expect(comparedThen).toBeLessThan(20_000);
  });

  it("counts what was stored as something else, or with nothing said, as failed", async () => {
    const blobs = [blob(1), blob(2), blob(3)];
    const refs = blobs.map(refOf);
    const kept = memoryStore();
    const lying: BlobStore = {
      get: (ref) => kept.get(ref),
      put: (bytes) => kept.put(bytes),
      listRefs: (after) => kept.listRefs(after),
      putMany: async (written) =>
        written.map((each) => {
          if (refOf(each) === refs[0]) return { ref: refs[1] as Ref, added: true };
          return { ref: refOf(each), added: refOf(each) === refs[1] ? false : undefined } as PutManyResult; // no result at all
        }),
    };
    const report = await sync(await storeOf(blobs), lying);
    expect(report).toMatchObject({ complete: false, copied: 1 });
    expect(new Map(report.failed.map(({ ref, error }) => [ref, error]))).toMatchObject(
      new Map([
        [refs[0], { code: "corrupt", store: "to" }],
        [refs[2], { code: "unavailable", store: "to" }],
      ]),
    );
    expect(report.failed.map(({ ref }) => ref).sort()).toEqual([refs[0], refs[2]].sort());
  });

  it.each([{ batchBytes: 0 }, { batchBytes: 1.5 }, { concurrency: 0 }])("refuses %j", async (options) => {
    await expect(sync(memoryStore(), memoryStore(), options)).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});
