import { describe, expect, it } from "vitest";
import { BlobError, memoryStore, refOf } from "../src/index.js";
import { testBlob } from "../src/testing.js";
import { itIsAStore } from "./support/compliance.js";

describe("memoryStore", () => {
  itIsAStore({ open: async () => ({ store: memoryStore(), close: async () => {} }) });

  it("refuses a blob that would go over its limit, and keeps what it has", async () => {
    const store = memoryStore({ maxBytes: 1000 });
    const blob = testBlob(1, 600);
    await store.put(blob);
    await expect(store.put(testBlob(2, 401))).rejects.toMatchObject({ code: "full" });
    await store.put(testBlob(3, 400));
    expect(await store.get(refOf(blob))).toEqual(blob);
    const results = await store.putMany?.([blob, testBlob(4, 1)]);
    expect(results?.map((result) => result.error instanceof BlobError)).toEqual([false, true]);
    await store.delete?.(refOf(blob));
    expect((await store.put(testBlob(2, 401))).added).toBe(true);
  });

  it("keeps the bytes that the caller will not change, without a copy", async () => {
    const store = memoryStore();
    const blob = testBlob(1, 100);
    const { ref } = await store.put(blob, { frozen: true });
    blob[0] = 1 ^ (blob[0] as number); // which he promised not to
    expect(await store.get(ref)).toEqual(blob);
  });

  it("refuses a limit that is none", () => {
    for (const maxBytes of [-1, Number.NaN]) {
      expect(() => memoryStore({ maxBytes })).toThrowError(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });
});
