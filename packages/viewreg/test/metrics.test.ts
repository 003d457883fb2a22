import { Counter, Gauge, Histogram, Registry as PromRegistry, register } from "prom-client";
import { describe, expect, it } from "vitest";
import { openWorld } from "./support/world.js";

describe("metrics", () => {
  it("go into objects of prom-client as they are, and nothing into its default registry", async () => {
    const registers = [new PromRegistry()];
    const errors = new Counter({ name: "errors", help: "e", labelNames: ["kind"] as const, registers });
    const probes = new Counter({ name: "probes", help: "p", labelNames: ["outcome"] as const, registers });
    const transitions = new Counter({
      name: "transitions",
      help: "t",
      labelNames: ["to"] as const,
      registers,
    });
    const views = new Gauge({ name: "views", help: "v", labelNames: ["state"] as const, registers });
    const probeSeconds = new Histogram({ name: "seconds", help: "s", buckets: [0.1, 0.5], registers });
    const world = openWorld(["a:1", "b:1", "c:1"], {
      metrics: { errors, probes, transitions, views, probeSeconds },
      probing: { jitter: 0 },
    });
    world.probes.fail("b:1", new Error("no"));
    world.probes.silence("c:1");
    await world.clock.advance(990);
    const valuesOf = async (metric: Counter | Gauge): Promise<Record<string, number>> =>
      Object.fromEntries(
        (await metric.get()).values.map(({ labels, value }) => [Object.values(labels).join(), value]),
      );
    // Each 250 ms: four times; what is silent is asked again when its time is up.
    expect(await valuesOf(probes)).toEqual({ ok: 4, bad: 4, silent: 1 });
    expect(await valuesOf(transitions)).toEqual({ healthy: 1 });
    expect(await valuesOf(views)).toEqual({ healthy: 1, unhealthy: 2, draining: 0 });
    world.locator.set(["b:1"]);
    await world.clock.advance(0);
    expect(await valuesOf(views)).toEqual({ healthy: 0, unhealthy: 1, draining: 2 });
    expect(await valuesOf(transitions)).toEqual({ healthy: 1, unhealthy: 1 });
    const seconds = await probeSeconds.get();
    expect(seconds.values.find(({ metricName }) => metricName === "seconds_count")?.value).toBe(8);
    // Nothing else changes when they are closed.
    await world.clock.advance(30_000);
    expect(await valuesOf(views)).toEqual({ healthy: 0, unhealthy: 1, draining: 0 });
    expect(await register.getMetricsAsJSON()).toEqual([]);
    await world.registry[Symbol.asyncDispose]();
  });
});
