import { describe, expect, it } from "vitest";
import type { Clock } from "../src/clock.js";
import {
  type BlobStore,
  gc,
  gcGuard,
  memoryCandidateStore,
  memoryStore,
  parseRef,
  type Ref,
} from "../src/index.js";
import { collect } from "../src/testing/fixture.js";

/** A blob of the tests: a number, and the refs that it refers to. */
function blobOf(n: number, children: readonly Ref[] = []): Uint8Array {
  return new TextEncoder().encode([`node ${n}`, ...children].join("\n"));
}

function references(blob: Uint8Array): Ref[] {
  const [first, ...rest] = new TextDecoder().decode(blob).split("\n");
  return first?.startsWith("node ") ? rest.map(parseRef) : [];
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

/** Has what is put at once, and says so when it is told to. */
function holding(inner: BlobStore): { store: BlobStore; put: Promise<void>; release: () => void } {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let tell = () => {};
  const put = new Promise<void>((resolve) => {
    tell = resolve;
  });
  return {
    put,
    release,
    store: {
      get: (ref) => inner.get(ref),
      async put(blob, options) {
        const result = await inner.put(blob, options);
        tell();
        await released;
        return result;
      },
      listRefs: (after) => inner.listRefs(after),
      delete: async (ref) => (await inner.delete?.(ref)) ?? false,
    },
  };
}

describe("gcGuard", () => {
  it("keeps what is being put when a gc begins, with all that it refers to, although nothing is kept for any time", async () => {
    const inner = memoryStore();
    const grandchild = (await inner.put(blobOf(1))).ref;
    const child = (await inner.put(blobOf(2, [grandchild]))).ref;
    const garbage = (await inner.put(blobOf(3))).ref;
    const { store, put, release } = holding(inner);
    const clock = new HandClock();
    const guard = gcGuard(store, { references, keepMs: 0, clock });
    const putting = guard.put(blobOf(4, [child]));
    await put;
    clock.nowMs += 1000;
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ deleted: 1 });
    expect(await inner.has?.(garbage)).toBe(false);
    release();
    const { ref } = await putting;
    expect(await collect(inner.listRefs())).toEqual([grandchild, child, ref].sort());
  });

  it("counts the time for which a blob is kept from the end of its put", async () => {
    const inner = memoryStore();
    const { store, put, release } = holding(inner);
    const clock = new HandClock();
    const guard = gcGuard(store, { references, keepMs: 1000, clock });
    const putting = guard.put(blobOf(1));
    await put;
    clock.nowMs += 10_000;
    release();
    const { ref } = await putting;
    clock.nowMs += 900;
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ deleted: 0 });
    clock.nowMs += 10_000;
    expect(await gc(guard, { roots: () => [] })).toMatchObject({ deleted: 1 });
    expect(await inner.has?.(ref)).toBe(false);
  });

  it("keeps a blob that is put again after it was condemned", async () => {
    const inner = memoryStore();
    const clock = new HandClock();
    const guard = gcGuard(inner, { references, keepMs: 0, clock });
    const { ref } = await inner.put(blobOf(1));
    const other = (await inner.put(blobOf(2))).ref;
    const candidates = memoryCandidateStore();
    await gc(guard, { roots: () => [], grace: { afterMs: 1000, candidates } });
    clock.nowMs += 5000;
    const asked: Ref[] = [];
    const lastPutMs = async (condemned: Ref): Promise<undefined> => {
      asked.push(condemned);
      if (condemned === ref) expect(await guard.put(blobOf(1))).toEqual({ ref, added: false });
    };
    const report = await gc(guard, { roots: () => [], grace: { afterMs: 1000, candidates, lastPutMs } });
    expect(asked.sort()).toEqual([ref, other].sort());
    expect(report.deleted).toBe(1);
    expect(await collect(inner.listRefs())).toEqual([ref]);
  });
});
