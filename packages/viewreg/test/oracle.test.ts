import { infinity, utf8Keys } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ConnectionState } from "../src/index.js";
import { type Info, openWorld, type World } from "./support/world.js";

const addresses = ["a:1", "a:2", "b:1", "c:1", "c:2", "d:1"];
const points = ["", "a", "f", "k", "p", "z"];
const features = ["kv", "scan"];

type Step =
  | { readonly do: "locate"; readonly which: readonly string[] }
  | { readonly do: "connect"; readonly address: string; readonly state: ConnectionState }
  | { readonly do: "answer"; readonly address: string; readonly info: Info }
  | { readonly do: "fail" | "deny" | "silence"; readonly address: string }
  | { readonly do: "report"; readonly address: string; readonly times: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "stall"; readonly ms: number };

const address = fc.constantFrom(...addresses);
const info: fc.Arbitrary<Info> = fc.record(
  {
    features: fc.subarray(features),
    serves: fc
      .tuple(fc.constantFrom(...points), fc.constantFrom(...points, infinity))
      .map(([a, b]) =>
        utf8Keys.order(a, b) <= 0 || typeof b !== "string" ? { from: a, to: b } : { from: b, to: a },
      ),
  },
  { requiredKeys: [] },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("locate" as const), which: fc.subarray(addresses) }),
  fc.record({
    do: fc.constant("connect" as const),
    address,
    state: fc.constantFrom("ready" as const, "failed" as const, "connecting" as const),
  }),
  fc.record({ do: fc.constant("answer" as const), address, info }),
  fc.record({
    do: fc.constantFrom("fail" as const, "deny" as const, "silence" as const),
    address,
  }),
  fc.record({ do: fc.constant("report" as const), address, times: fc.nat(6) }),
  { arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(1500) }), weight: 3 },
  fc.record({ do: fc.constant("stall" as const), ms: fc.nat(5000) }),
);

async function run(world: World, step: Step): Promise<void> {
  switch (step.do) {
    case "locate":
      world.locator.set(step.which);
      return world.clock.advance(0);
    case "connect":
      return world.connector.set(step.address, step.state);
    case "answer":
      return world.probes.answer(step.address, step.info);
    case "fail":
      return world.probes.fail(step.address, new Error("no"));
    case "deny":
    case "silence":
      return world.probes[step.do](step.address);
    case "report": {
      const view = world.registry.allViews().find((view) => String(view).startsWith(step.address));
      for (let time = 0; time < step.times; time++) view?.report("failed");
      return;
    }
    case "wait":
      return world.clock.advance(step.ms);
    case "stall":
      return world.clock.stall(step.ms);
  }
}

const sorted = (views: readonly object[]): string[] => views.map(String).sort();

/** What a query gives must be what a search through all views gives. */
function agrees({ registry }: World): void {
  const all = registry.allViews();
  const healthy = all.filter((view) => view.healthy);
  expect(new Set(registry.healthyViews())).toEqual(new Set(healthy));
  for (const view of healthy) expect(view.info).toBeDefined();
  for (const names of [[], ["kv"], ["kv", "scan"]]) {
    const having = healthy.filter((view) => names.every((name) => view.info?.features?.includes(name)));
    expect(sorted(registry.healthyViews(...names))).toEqual(sorted(having));
    for (const point of points) {
      const serving = having.filter(({ serves }) => serves !== undefined && utf8Keys.contains(serves, point));
      const found = registry.viewsFor(point, ...names);
      expect(found).toHaveLength(serving.length);
      expect(new Set(found)).toEqual(new Set(serving));
    }
  }
  const { servers, healthy: count, unhealthy } = registry.summary();
  expect([servers, count, unhealthy]).toEqual([all.length, healthy.length, all.length - healthy.length]);
  expect(registry.dump().split("\n")).toHaveLength(all.length + 1);
}

describe("a registry to which anything happens", { timeout: 60_000 }, () => {
  it("answers as a search through all its views does, and its version tells whether they are the same", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const world = openWorld(addresses.slice(0, 3));
        let told = 0;
        let before = { version: world.registry.version, views: new Set<object>() };
        for (const each of steps) {
          await run(world, each);
          const now = { version: world.registry.version, views: new Set<object>(world.registry.allViews()) };
          const same =
            now.views.size === before.views.size && [...now.views].every((view) => before.views.has(view));
          if (!same) expect(now.version).toBeGreaterThan(before.version);
          // A server that came and went leaves the others' views as they were.
          else if (!world.events.slice(told).some(({ event }) => event === "removed"))
            expect(now.version).toBe(before.version);
          told = world.events.length;
          expect(now.version).toBeGreaterThanOrEqual(before.version);
          before = now;
          agrees(world);
        }
        await world.registry[Symbol.asyncDispose]();
        expect(world.clock.timers).toBe(0);
        expect(world.connector.open).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("has everybody healthy a while after everything is well again", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const world = openWorld(addresses.slice(0, 3));
        for (const each of steps) await run(world, each);
        world.locator.set(addresses);
        for (const each of addresses) {
          world.connector.set(each, "ready");
          world.probes.answer(each, {});
        }
        // The longest time for which anybody is held down.
        await world.clock.advance(61_000);
        expect(world.healthy()).toEqual(addresses);
        expect(world.registry.summary()).toMatchObject({ panic: "off", damped: 0, ejected: 0 });
      }),
      { numRuns: 100 },
    );
  });
});
