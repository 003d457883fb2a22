import { describe, expect, it } from "vitest";
import { counter, named, openWorld, type World } from "./support/world.js";

const labelled = (...zones: readonly string[]) => ({
  host: "a",
  port: 1,
  labels: Object.fromEntries(zones.map((zone) => [zone, zone])),
});

/** The lines of the dump, without how long ago things were. */
const lines = (world: World) => world.registry.dump().replaceAll(/ \d+ ms ago/g, "");

describe("a locator that throws", { timeout: 60_000 }, () => {
  it("leaves what it said last, is asked again after a growing pause, and logged and counted once per outage", async () => {
    const errors = counter();
    const world = openWorld(["a:1"], { metrics: { errors } });
    await world.clock.advance(1000);
    const { version } = world.registry;
    for (let outage = 0; outage < 2; outage++) {
      const gaps: number[] = [];
      for (let failure = 0; failure < 6; failure++) {
        const { calls } = world.locator;
        world.locator.fail(new Error("away"));
        const start = world.clock.monotonicMs();
        await world.clock.advance(0);
        world.locator.fail(new Error("still away"));
        while (world.locator.calls === calls) await world.clock.advance(10);
        gaps.push(world.clock.monotonicMs() - start);
      }
      await world.clock.advance(0);
      expect(world.registry.dump()).toMatch(/^the locator failed \d+ times: (still )?away\n/);
      expect(world.all()).toEqual(["a:1"]);
      expect(gaps[0]).toBeLessThanOrEqual(110);
      expect(gaps[5]).toBeGreaterThan(500);
      await world.clock.advance(20_000);
      expect(world.registry.summary().locatorFailures).toBe(0);
      expect(world.registry.dump()).not.toContain("locator");
      expect(named(world, "locator-failed")).toHaveLength(outage + 1);
    }
    expect(world.registry.version).toBe(version);
    expect(errors.counts.locator).toBe(2);
  });

  it.each([
    [
      "throws at once",
      () => {
        throw new Error("no");
      },
    ],
    ["returns no iterable", () => undefined],
    ["ends by itself", async function* () {}],
  ])("is survived when it %s", async (_, locate) => {
    const errors = counter();
    const world = openWorld([], { locator: { locate: locate as never }, metrics: { errors } });
    await world.clock.advance(60_000);
    expect(named(world, "locator-failed")).toHaveLength(1);
    expect(errors.counts.locator).toBe(1);
    expect(world.registry.version).toBe(0);
    expect(world.registry.summary().locatorFailures).toBeGreaterThan(5);
    expect(world.registry.summary().locatorFailures).toBeLessThan(50);
  });

  it.each([
    ["no array", 5],
    ["null", null],
    ["a text", "a:1"],
    ["an entry that is no object", [{ host: "a", port: 1 }, 7]],
    ["a port that is none", [{ host: "a", port: 70_000 }]],
    ["a host with a line break", [{ host: "a\nb", port: 1 }]],
    ["labels that are no texts", [{ host: "a", port: 1, labels: { zone: 5 } }]],
  ])("is not believed when it yields %s", async (_, garbage) => {
    const errors = counter();
    const world = openWorld(["a:1", "b:1"], { metrics: { errors } });
    await world.clock.advance(1000);
    const { version } = world.registry;
    world.locator.set(garbage);
    await world.clock.advance(1000);
    world.locator.set(garbage);
    await world.clock.advance(1000);
    expect(errors.counts.locator).toBe(1);
    expect(world.registry.dump()).toMatch(/^the locator failed 2 times: no list of endpoints: /);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    expect(world.registry.version).toBe(version);
    expect(named(world, "locator-failed")).toHaveLength(1);
    expect(named(world, "locator-failed")[0]?.error).toMatchObject({ code: "bad-source" });
    world.locator.set(["a:1"]);
    await world.clock.advance(0);
    expect(world.all()).toEqual(["a:1"]);
  });

  it.each([
    ["with every endpoint three times", ["a:1", "b:1", "a:1", "b:1", "b:1", "a:1"], ["a:1", "b:1"]],
    ["reordered", ["b:1", "a:1"], ["a:1", "b:1"]],
    ["with labels in another order", [labelled("y", "x"), "b:1"], [labelled("x", "y"), "b:1"]],
  ])("has one view of each endpoint when its list comes %s, and no change by it", async (_, list, first) => {
    const errors = counter();
    const world = openWorld([], { metrics: { errors } });
    world.locator.set(first);
    await world.clock.advance(1000);
    const before = { version: world.registry.version, events: world.events.length, dump: lines(world) };
    for (let turn = 0; turn < 10; turn++) {
      world.locator.set(turn % 2 === 0 ? list : list.toReversed());
      await world.clock.advance(10);
    }
    expect(world.all()).toEqual(["a:1", "b:1"]);
    expect({ version: world.registry.version, events: world.events.length, dump: lines(world) }).toEqual(
      before,
    );
    expect(world.connector.connects()).toBe(2);
    expect(errors.counts).toEqual({});
  });

  it("may say that there is nobody: then nobody is there, which is one change and no error", async () => {
    const errors = counter();
    const world = openWorld(["a:1", "b:1"], { metrics: { errors } });
    await world.clock.advance(1000);
    const { version } = world.registry;
    for (let turn = 0; turn < 5; turn++) {
      world.locator.set([]);
      await world.clock.advance(10);
    }
    expect([world.all(), world.registry.version]).toEqual([[], version + 1]);
    expect(named(world, "removed")).toHaveLength(2);
    expect(errors.counts).toEqual({});
  });

  it("may have 100,000 endpoints, and one more is refused", async () => {
    const world = openWorld(["a:1"], { probing: { maxProbesPerSecond: 0.001 } });
    await world.clock.advance(0);
    const many = Array.from({ length: 100_001 }, (_, index) => ({ host: `h${index}`, port: 1 }));
    world.locator.set(many);
    await world.clock.advance(0);
    expect(world.registry.summary().servers).toBe(1);
    world.locator.set(many.slice(0, 100_000));
    await world.clock.advance(0);
    expect(world.registry.summary().servers).toBe(100_000);
    world.locator.set([]);
    await world.clock.advance(0);
    expect(world.registry.summary().servers).toBe(0);
  });
});
