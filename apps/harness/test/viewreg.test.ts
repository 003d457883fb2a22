import { beforeAll, describe, expect, it } from "vitest";
import { etcdReaction, reactions, rollingRestart } from "../src/bench/viewreg/processes.js";
import { buildGoServer, etcdBuild, goBuildTimeoutMs, requireServer } from "../src/servers/index.js";

// The limits are five times the promised ones: the machine may be busy with other tests.
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
