import { beforeAll, describe, expect, it } from "vitest";
import type { BenchContext, Row } from "../src/bench/benchmark.js";
import { etcdReaction, reactions, rollingRestart } from "../src/bench/viewreg/processes.js";
import {
  capped,
  falseEjections,
  flapping,
  lookups,
  startUp,
  transitions,
} from "../src/bench/viewreg/simulated-rows.js";
import { buildGoServer, etcdBuild, goBuildTimeoutMs, requireServer } from "../src/servers/index.js";

// The limits of times are five times the promised ones: the machine may be busy with other tests.

describe("a registry of simulated servers", { timeout: 120_000 }, () => {
  const context = (signal: AbortSignal): BenchContext => ({
    quick: true,
    profileDirectory: undefined,
    only: undefined,
    signal,
    say: () => undefined,
  });
  const figure = (rows: readonly Row[], metric: string): number =>
    rows.find((row) => row.metric.includes(metric))?.ours ?? Number.NaN;

  it("has no dearer transitions with 10,000 servers than with 100, but for caches that are smaller", async ({
    signal,
  }) => {
    const rows = await transitions(context(signal));
    // The best window: others show what else the machine was doing.
    const ratio = rows.find(({ metric }) => metric.includes("10,000 servers to 100"))?.spread?.[0];
    expect(ratio).toBeLessThan(10);
  });

  it("finds the views for a point in a microsecond, and allocates nothing for it", async ({ signal }) => {
    const rows = await lookups(context(signal));
    expect(rows.find(({ unit }) => unit === "ns")?.spread?.[0]).toBeLessThan(5_000);
    expect(figure(rows, "heap growth")).toBeLessThan(5);
  });

  it("starts in a time that is linear in its servers", async ({ signal }) => {
    expect(figure(await startUp(context(signal)), "to each of 1,000")).toBeLessThan(10);
  });

  it("ejects nobody for answers that are late, and tells little of servers that flap", async ({ signal }) => {
    expect(figure(await falseEjections(context(signal)), "false ejections")).toBe(0);
    expect(figure(await flapping(context(signal)), "flapping")).toBeLessThan(1 / 20);
  });

  it("is as right as it says with more servers than it may ask in a second", async ({ signal }) => {
    const rows = await capped(context(signal));
    expect(rows).toHaveLength(4);
    for (const { metric, met } of rows) expect(met, metric).toBe(true);
  });
});

describe("a registry of real servers", { timeout: 120_000 }, () => {
  it("notices within a second that a server hangs or goes on, and within 100 ms that it is gone", async ({
    signal,
  }) => {
    const { stoppedMs, continuedMs, killedMs, restartedMs } = await reactions(signal);
    expect(stoppedMs).toBeLessThan(5_000);
    expect(continuedMs).toBeLessThan(5_000);
    expect(killedMs).toBeLessThan(500);
    expect(restartedMs).toBeLessThan(5_000);
  });

  it("loses no call of a fanout while servers are restarted one after the other", async ({ signal }) => {
    const { calls, failed, firstFailure } = await rollingRestart({ processes: 3, signal });
    expect(firstFailure).toBeUndefined();
    expect(failed).toBe(0);
    expect(calls).toBeGreaterThan(100);
  });
});

describe.skipIf(!requireServer("etcd"))("a registry of a real etcd cluster", { timeout: 120_000 }, () => {
  beforeAll(() => buildGoServer(etcdBuild), goBuildTimeoutMs);

  it("notices within a second that one member hangs and one is gone", async ({ signal }) => {
    expect(await etcdReaction(signal)).toBeLessThan(5_000);
  });
});
