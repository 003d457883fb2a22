import { describe, expect, it } from "vitest";
import { KeyedLock } from "../src/stores/keyed-lock.js";
import { pool } from "../src/stores/pool.js";
import { settle } from "./replica-fakes.js";

describe("pool", () => {
  /** Tasks that end only when they are told to, whatever becomes of their signal. */
  function deaf() {
    const ends: (() => void)[] = [];
    const signals: AbortSignal[] = [];
    const task = async (input: number, _index: number, signal: AbortSignal): Promise<number> => {
      signals.push(signal);
      if (input > 0) await new Promise<void>((resolve) => ends.push(resolve));
      return input;
    };
    return { ends, signals, task };
  }

  it("ends when all that runs has settled, after it told it to stop: the loop is left", async () => {
    const { ends, signals, task } = deaf();
    let ended = false;
    const loop = (async () => {
      for await (const _ of pool([0, 1, 2, 3, 4], task, { limit: 3 })) break;
      ended = true;
    })();
    await settle();
    expect([ended, ends.length, signals.every(({ aborted }) => aborted)]).toEqual([false, 2, true]);
    ends[0]?.();
    await settle();
    expect(ended).toBe(false);
    ends[1]?.();
    await loop;
    expect(signals).toHaveLength(3);
  });

  it("ends when all that runs has settled, with the reason: an abort, or a task that failed", async () => {
    for (const how of ["abort", "failure"]) {
      const { ends, task } = deaf();
      const controller = new AbortController();
      const reason = new Error(how);
      let outcome: unknown;
      const failing = async (input: number, index: number, signal: AbortSignal) => {
        if (how === "failure" && input === 0) throw reason;
        return await task(input, index, signal);
      };
      const loop = (async () => {
        for await (const _ of pool([1, 2, 0, 3], failing, { limit: 3, signal: controller.signal }));
      })().catch((error: unknown) => {
        outcome = error;
      });
      await settle();
      if (how === "abort") controller.abort(reason);
      await settle();
      expect([outcome, ends.length]).toEqual([undefined, how === "abort" ? 3 : 2]);
      for (const end of ends) end();
      await loop;
      expect(outcome).toBe(reason);
    }
  });
});

describe("KeyedLock", () => {
  it("lets one in at a time, of however many that wait, and others with other keys", async () => {
    const lock = new KeyedLock<string>();
    const inside = new Map<string, number>();
    let most = 0;
    const work = (key: string) =>
      lock.run(key, undefined, async () => {
        const now = (inside.get(key) ?? 0) + 1;
        inside.set(key, now);
        most = Math.max(most, now);
        await settle();
        inside.set(key, now - 1);
        if (key === "b") throw new Error("failed");
      });
    const all = Promise.allSettled(["a", "a", "a", "b", "b", "a", "b", "a"].map(work));
    await settle();
    expect(inside).toEqual(new Map(Object.entries({ a: 1, b: 1 })));
    const outcomes = (await all).map(({ status }) => status);
    expect(outcomes.filter((status) => status === "rejected")).toHaveLength(3);
    expect(most).toBe(1);
    await lock.idle();
  });
});
