import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TopicClient } from "../src/client.js";
import { type LocalSystem, localSystem } from "./support/local-system.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

async function heapBytes(): Promise<number> {
  for (let time = 0; time < 3; time++) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

describe("the signal of somebody who describes topics", () => {
  const address = "127.0.0.1:1";
  let system: LocalSystem;
  let unwell: string | undefined;
  let client: TopicClient;
  beforeEach(async () => {
    unwell = undefined;
    system = await localSystem({ buffers: 1 });
    client = await system.openClient({ health: { unwell: () => unwell } });
    await client.topics.add("t");
    await client.publish("t", { key: "a", data: "b" }); // now it has a segment to be asked for
  });
  afterEach(() => system[Symbol.asyncDispose]());

  it("may live as long as the process: nothing is remembered with it", { timeout: 60_000 }, async () => {
    unwell = "silent"; // nobody is asked: there is nothing else to be remembered
    const { signal } = new AbortController();
    const calls = 30_000;
    for (let call = 0; call < calls / 10; call++) await client.describe("t", { signal }); // what is made once
    const before = await heapBytes();
    for (let call = 0; call < calls; call++) await client.describe("t", { signal });
    expect(((await heapBytes()) - before) / calls, "bytes for each call").toBeLessThan(25);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("ends what was asked, and its reason is the error", async () => {
    const buffer = system.buffers.get(address) as NonNullable<ReturnType<typeof system.buffers.get>>; // it was opened
    const controller = new AbortController();
    const reason = new Error("enough");
    const seen: unknown[] = [];
    const hanging: typeof buffer.describe = (_topic, { signal } = {}) =>
      new Promise((_, reject) => {
        const onAbort = (): void => {
          seen.push(signal?.reason);
          reject(signal?.reason);
        };
        if (signal?.aborted) onAbort();
        else signal?.addEventListener("abort", onAbort, { once: true });
        controller.abort(reason);
      });
    system.buffers.set(address, Object.create(buffer, { describe: { value: hanging } }));
    try {
      await expect(client.describe("t", { signal: controller.signal })).rejects.toBe(reason);
      await expect(client.describe("t", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      expect(seen).toEqual([reason, reason]);
      expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    } finally {
      system.buffers.set(address, buffer);
    }
  });
});
