import { describe, expect, it } from "vitest";
import { createReplica, memoryStore, type NamedStore, type ReplicaOptions } from "../src/index.js";

const a: NamedStore = { name: "a", store: memoryStore() };
const b: NamedStore = { name: "b", store: memoryStore() };

// Each `@ts-expect-error` is a test too: the type check fails when the line below it compiles.
describe("the options of a replica", () => {
  it("have a queue when there are asynchronous stores, by type and at run time", async () => {
    // @ts-expect-error asynchronous stores need a queue
    await expect(createReplica({ sync: [a], async: [b] })).rejects.toMatchObject({
      code: "invalid-argument",
    });
    // @ts-expect-error a queue is for asynchronous stores
    await expect(createReplica({ sync: [a], queue: { memory: true } })).rejects.toMatchObject({
      code: "invalid-argument",
    });
    // @ts-expect-error a queue is in a folder or in memory
    await expect(createReplica({ sync: [a], async: [b], queue: {} })).rejects.toMatchObject({
      code: "invalid-argument",
    });
    // @ts-expect-error strict is about asynchronous stores
    await createReplica({ sync: [a], strict: true });
    await createReplica({ sync: [a], async: [b], queue: { memory: true }, strict: true });
  });

  it.each<[string, string, unknown]>([
    ["no synchronous store", "needs at least one", { sync: [] }],
    ["no list", "sync is a list", {}],
    ["a store without a name", "has no name", { sync: [{ store: memoryStore() }] }],
    ["a name without a store", "is no store", { sync: [{ name: "a" }] }],
    ["two stores of one name", "names are unique", { sync: [a], async: [a], queue: { memory: true } }],
    ["a quorum of 0", "writeQuorum", { sync: [a], writeQuorum: 0 }],
    ["a quorum of more than all", "writeQuorum is 2", { sync: [a], writeQuorum: 2 }],
    ["room for nothing", "maxQueued", { sync: [a], async: [b], queue: { memory: true }, maxQueued: 0 }],
    ["room for half a blob", "maxQueued", { sync: [a], async: [b], queue: { memory: true }, maxQueued: 1.5 }],
    [
      "another word for whenFull",
      "whenFull",
      { sync: [a], async: [b], queue: { memory: true }, whenFull: "drop" },
    ],
    ["a hedge before the call", "hedgeAfterMs", { sync: [a], hedgeAfterMs: -1 }],
    ["a time that is no number", "retryMinMs", { sync: [a], retryMinMs: Number.NaN }],
    ["a shortest wait above the longest", "retryMaxMs", { sync: [a], retryMinMs: 5, retryMaxMs: 4 }],
    ["both kinds of queue", "need a queue", { sync: [a], async: [b], queue: { dir: "x", memory: true } }],
    [
      "too many asynchronous stores",
      "at most 24",
      {
        sync: [a],
        async: Array.from({ length: 25 }, (_, i) => ({ name: `${i}`, store: memoryStore() })),
        queue: { memory: true },
      },
    ],
  ])("are refused with a sentence: %s", async (_, says, options) => {
    await expect(createReplica(options as ReplicaOptions)).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining(says),
    });
  });

  it("may be aborted while the queue opens", async () => {
    const reason = new Error("enough");
    await expect(createReplica({ sync: [a], signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});
