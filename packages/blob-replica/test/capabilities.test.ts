import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  deleteBlob,
  type GetManyResult,
  getMany,
  has,
  listRefPages,
  memoryStore,
  putMany,
  type Ref,
  refOf,
  streamBlob,
} from "../src/index.js";
import { collect, splitPage, testBlob, testBlobs } from "../src/testing/fixture.js";
import { itIsAStore } from "./support/compliance.js";
import { bare } from "./support/stores.js";

describe("a store of three methods", () => {
  itIsAStore({ open: async () => ({ store: bare(memoryStore()), close: async () => {} }) });

  it("never has more calls in flight than asked for, and as many when there are enough", async () => {
    let running = 0;
    let most = 0;
    const inner = memoryStore();
    const counted = async <Result>(call: Promise<Result>): Promise<Result> => {
      most = Math.max(most, ++running);
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      running--;
      return await call;
    };
    const store: BlobStore = {
      get: (ref, options) => counted(inner.get(ref, options)),
      put: (blob, options) => counted(inner.put(blob, options)),
      listRefs: (after, options) => inner.listRefs(after, options),
    };
    const { blobs, refs } = testBlobs(100);
    await putMany(store, blobs, { concurrency: 7 });
    expect(most).toBe(7);
    most = 0;
    expect((await collect(getMany(store, refs, { concurrency: 3 }))).length).toBe(100);
    expect(most).toBe(3);
    for (const concurrency of [0, -1, 1.5, Number.NaN]) {
      await expect(putMany(store, blobs, { concurrency })).rejects.toMatchObject({
        code: "invalid-argument",
      });
      await expect(collect(getMany(store, refs, { concurrency }))).rejects.toMatchObject({
        code: "invalid-argument",
      });
    }
  });

  it("does not read on when the loop is left, and waits for what runs", async () => {
    let started = 0;
    let ended = 0;
    const store: BlobStore = {
      ...bare(memoryStore()),
      async get(_ref, options) {
        started++;
        if (started > 1) await new Promise((resolve) => options?.signal?.addEventListener("abort", resolve));
        ended++;
        return new Uint8Array(1);
      },
    };
    const { refs } = testBlobs(50);
    for await (const { blob } of getMany(store, refs, { concurrency: 4 })) {
      expect(blob?.length).toBe(1);
      break;
    }
    expect([started, ended]).toEqual([4, 4]);
  });

  it("fails each put of a batch by itself", async () => {
    const store = bare(memoryStore({ maxBytes: 100 }));
    const results = await putMany(store, [testBlob(1, 60), testBlob(2, 60), testBlob(3, 40)], {
      concurrency: 1,
    });
    expect(results.map(({ added }) => added)).toEqual([true, undefined, true]);
    expect(results.map(({ ref }) => ref)).toEqual(
      [testBlob(1, 60), testBlob(2, 60), testBlob(3, 40)].map(refOf),
    );
  });

  it("cannot delete", async () => {
    await expect(deleteBlob(bare(memoryStore()), refOf(testBlob(1, 1)))).rejects.toMatchObject({
      code: "unsupported",
    });
  });

  it("has a blob that is damaged, and fails when it cannot tell", async () => {
    const ref = refOf(testBlob(1, 1));
    const failing = (error: unknown): BlobStore => ({
      ...bare(memoryStore()),
      get: () => Promise.reject(error),
    });
    expect(await has(failing(new BlobError("corrupt", "half of it is gone")), ref)).toBe(true);
    const gone = new BlobError("unavailable", "nobody answers");
    await expect(has(failing(gone), ref)).rejects.toBe(gone);
    const other = new Error("not one of ours");
    await expect(has(failing(other), ref)).rejects.toBe(other);
  });

  it("is told when it lists out of order or twice", async () => {
    const [one, two, three] = testBlobs(3).refs as [Ref, Ref, Ref];
    const listing = (refs: readonly Ref[]): BlobStore => ({
      ...bare(memoryStore()),
      async *listRefs() {
        yield* refs;
      },
    });
    for (const refs of [
      [two, one],
      [one, one],
      [one, three, two],
    ]) {
      await expect(collect(listRefPages(listing(refs)))).rejects.toMatchObject({ code: "unordered" });
    }
    await expect(collect(listRefPages(listing([two, three]), two))).rejects.toMatchObject({
      code: "unordered",
    });
    await expect(collect(listRefPages(listing([two, "x" as Ref]), one))).rejects.toMatchObject({
      code: "invalid-ref",
    });
    expect((await collect(listRefPages(listing([two, three]), one))).flatMap(splitPage)).toEqual([
      two,
      three,
    ]);
  });

  it("streams a blob that it read whole, in pieces", async () => {
    const blob = testBlob(1, 1_000_000);
    const store = bare(memoryStore());
    const { ref } = await store.put(blob);
    const pieces = await collect(streamBlob(store, ref));
    expect(pieces.length).toBe(4);
    expect(Buffer.concat(pieces).equals(blob)).toBe(true);
  });
});

describe("a store whose own methods leave something out", () => {
  const { blobs } = testBlobs(6);
  const refs = blobs.map(refOf);
  const [one, two, three] = refs as [Ref, Ref, Ref];

  function answering(results: readonly GetManyResult[], failure?: unknown): BlobStore {
    return {
      ...bare(memoryStore()),
      async *getMany() {
        yield* results;
        if (failure) throw failure;
      },
      putMany: async () => [{ ref: one, added: true }],
    };
  }

  it("has an error for what it did not answer, and nothing that nobody asked for", async () => {
    const blob = new Uint8Array(1);
    const results = await collect(
      getMany(
        answering([
          { ref: two, blob },
          { ref: two, blob },
          { ref: three, blob },
        ]),
        [one, two, one],
      ),
    );
    expect(results.map(({ ref, blob }) => [ref, blob?.length])).toEqual([
      [two, 1],
      [one, undefined],
      [one, undefined],
    ]);
    expect(results[1]?.error).toMatchObject({ code: "unavailable" });
  });

  it("has its failure for what it had not answered by then", async () => {
    const failure = new BlobError("unavailable", "the line went dead");
    const results = await collect(
      getMany(answering([{ ref: two, blob: new Uint8Array(1) }], failure), [one, two]),
    );
    expect(results.map(({ ref, error }) => [ref, error])).toEqual([
      [two, undefined],
      [one, failure],
    ]);
  });

  it("has an error for each blob that it did not answer for", async () => {
    const results = await putMany(answering([]), blobs.slice(0, 3));
    expect(results.map(({ ref, added }) => [ref, added])).toEqual([
      [one, true],
      [two, undefined],
      [three, undefined],
    ]);
    expect(results[2]?.error).toMatchObject({ code: "unavailable" });
    const failure = new BlobError("refused", "it is not yours");
    const store: BlobStore = { ...bare(memoryStore()), putMany: () => Promise.reject(failure) };
    expect((await putMany(store, blobs)).map(({ ref, error }) => [ref, error])).toEqual(
      refs.map((ref) => [ref, failure]),
    );
  });
});
