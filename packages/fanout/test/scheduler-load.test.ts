import { describe, expect, it } from "vitest";
import type { Random } from "../src/scheduler/random.js";
import { type Answer, Load, usual } from "./scheduler-load.js";

const three = ["a", "b", "c"];

describe("one of three servers stops and says nothing any more", () => {
  it.each([
    ["100 calls per second", 10, 1000],
    ["1,000 calls per second", 1, 1000],
    // Here so many are under way when it stops that the budget takes a while to hedge them all.
    ["5,000 calls per second", 0.2, 5000],
  ])(
    "and at %s the 99th percentile stays below 1.1 times the healthy one, with 2%% more requests",
    (_rate, everyMs, count) => {
      const healthy: Random = { word: 1 };
      const unhedged = new Load(three, () => ({ afterMs: usual(healthy) }), { hedge: false });
      unhedged.calls(5000, everyMs);

      const random: Random = { word: 1 };
      let isStopped = false;
      const answer = (server: string): Answer =>
        isStopped && server === "b" ? undefined : { afterMs: usual(random) };
      const load = new Load(three, answer, { ratio: 0.02 });
      load.calls(4000, everyMs);
      const before = load.latencies.length;
      const extraBefore = load.sent.hedge + load.sent.retry;
      isStopped = true;
      load.calls(count, everyMs);
      expect(load.failed).toBe(0);
      expect(load.percentile(0.99, before)).toBeLessThanOrEqual(1.1 * unhedged.percentile(0.99));
      // What was left in the bucket is spent, too.
      expect(load.sent.hedge + load.sent.retry - extraBefore).toBeLessThanOrEqual(count * 0.02 + 1);
    },
  );

  it("and is used again soon after it goes on", () => {
    const random: Random = { word: 1 };
    let isStopped = true;
    const load = new Load(three, (server) =>
      isStopped && server === "b" ? undefined : { afterMs: usual(random) },
    );
    load.calls(3000, 1);
    const before = load.atServer.get("b") ?? 0;
    expect(before).toBeLessThan(30);
    isStopped = false;
    load.calls(20_000, 1);
    expect((load.atServer.get("b") ?? 0) - before).toBeGreaterThan(1000);
  });
});

describe("all servers are down", () => {
  it("and 100,000 calls make 1.02 requests per point with a ratio of 0.02, once the burst is spent", () => {
    const load = new Load(three, () => ({ afterMs: 1, unreachable: true }), { ratio: 0.02 });
    load.calls(100, 1);
    const before = load.sent.send + load.sent.retry + load.sent.hedge;
    load.calls(100_000, 1);
    expect(load.failed).toBe(100_100);
    const requests = load.sent.send + load.sent.retry + load.sent.hedge - before;
    expect(requests).toBeGreaterThan(100_000);
    expect(requests / 100_000).toBeLessThanOrEqual(1.02);
  }, 60_000);

  it("and silent, and the calls wait for the idle timeout but send no more than the budget allows", () => {
    const load = new Load(three, () => undefined, { ratio: 0.02, idleTimeoutMs: 200 });
    load.calls(2000, 5);
    expect(load.failed).toBe(2000);
    expect(load.sent.retry + load.sent.hedge).toBeLessThanOrEqual(10 + 0.02 * 2000);
  });
});

describe("one of three servers is killed", () => {
  it.each([
    ["1,000 calls per second", 1, 5000],
    ["10 calls per second", 100, 2000],
    ["a call every 5 seconds", 5000, 1000],
    ["a call every minute", 60_000, 500],
  ])("and no call fails with the defaults, at %s", (_rate, everyMs, count) => {
    const random: Random = { word: 1 };
    let isKilled = false;
    const load = new Load(three, (server) =>
      isKilled && server === "b" ? { afterMs: 0.5, unreachable: true } : { afterMs: usual(random) },
    );
    load.calls(200, everyMs);
    isKilled = true;
    load.calls(count, everyMs);
    expect(load.failed).toBe(0);
    // It is known to be dead, and not asked in vain each time.
    expect(load.sent.retry).toBeGreaterThan(0);
    expect(load.sent.retry).toBeLessThan(0.15 * count + 20);
  });

  it("and is used again soon after it comes back", () => {
    const random: Random = { word: 1 };
    let isKilled = true;
    const load = new Load(three, (server) =>
      isKilled && server === "b" ? { afterMs: 0.5, unreachable: true } : { afterMs: usual(random) },
    );
    load.calls(3000, 1);
    const before = load.atServer.get("b") ?? 0;
    isKilled = false;
    load.calls(20_000, 1);
    expect((load.atServer.get("b") ?? 0) - before).toBeGreaterThan(1000);
  });
});
