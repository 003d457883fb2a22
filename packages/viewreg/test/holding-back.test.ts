import { describe, expect, it } from "vitest";
import type { ConnectionState } from "../src/index.js";
import { addresses, named, openWorld, until, type World } from "./support/world.js";

describe("a panic", { timeout: 60_000 }, () => {
  const countIn = (world: World) => world.healthy().length;

  it("uses servers that answer badly when nearly all do, and ends when enough are well", async () => {
    const world = openWorld(addresses(10), { judgement: { panicThreshold: 0.5 } });
    await world.clock.advance(1000);
    const fail = (count: number) => {
      for (const address of addresses(count)) world.probes.fail(address, new Error("the probe is wrong"));
    };
    fail(5);
    await world.clock.advance(3000);
    expect(countIn(world)).toBe(5);
    expect(world.registry.summary().panic).toBe("off");
    fail(6);
    await world.clock.advance(3000);
    expect(countIn(world)).toBe(10);
    expect(world.registry.summary().panic).toBe("usable");
    expect(world.registry.dump()).toContain("healthy; in spite of bad-answers");
    world.probes.answer("a:6", {});
    await world.clock.advance(1000);
    expect(countIn(world)).toBe(5);
    expect(world.registry.summary().panic).toBe("off");
    expect(world.events.map(({ event }) => event).filter((event) => event.startsWith("panic"))).toEqual([
      "panic",
      "panic-over",
    ]);
  });

  it("by default is there when none of a few is well", async () => {
    const world = openWorld(addresses(3));
    await world.clock.advance(1000);
    for (const address of addresses(3)) world.probes.fail(address, new Error("no"));
    await world.clock.advance(3000);
    expect(countIn(world)).toBe(3);
  });

  it("never uses those that say they do not serve, nor silent ones, nor those that were never well", async () => {
    const world = openWorld(addresses(5));
    world.probes.fail("a:5", new Error("never good"));
    await world.clock.advance(1000);
    world.probes.fail("a:1", new Error("no"));
    world.probes.deny("a:2");
    world.probes.silence("a:3");
    world.probes.deny("a:4");
    await world.clock.advance(3000);
    expect(world.healthy()).toEqual(["a:1"]);
    expect(world.registry.summary().panic).toBe("usable");
  });

  it("goes on not using one that said it does not serve and then answered badly", async () => {
    const world = openWorld(addresses(2));
    await world.clock.advance(1000);
    world.probes.deny("a:1");
    world.probes.deny("a:2");
    await world.clock.advance(1000);
    world.probes.fail("a:1", new Error("gone"));
    await world.clock.advance(5000);
    expect(world.healthy()).toEqual([]);
  });

  it("uses silent ones when all are silent and they are three, but not when they are two", async () => {
    for (const [count, used] of [
      [2, 0],
      [3, 3],
      [10, 10],
    ] as const) {
      const world = openWorld(addresses(count));
      await world.clock.advance(1000);
      for (const address of addresses(count)) world.probes.silence(address);
      await world.clock.advance(2000);
      expect(countIn(world)).toBe(used);
    }
  });

  it("stops using silent ones as soon as one answers", async () => {
    const world = openWorld(addresses(5));
    await world.clock.advance(1000);
    for (const address of addresses(5)) world.probes.silence(address);
    await world.clock.advance(2000);
    expect(world.registry.summary().panic).toBe("silent");
    world.probes.answer("a:3", {});
    await world.clock.advance(2000);
    expect(world.healthy()).toEqual(["a:3"]);
  });

  it("is not there when servers are only new", async () => {
    const world = openWorld(addresses(2));
    await world.clock.advance(1000);
    world.probes.fail("a:1", new Error("no"));
    await world.clock.advance(3000);
    for (const address of addresses(100)) if (address !== "a:2") world.connector.set(address, "ready");
    world.locator.set([...addresses(2), ...addresses(100).map((address) => `new-${address}`)]);
    await world.clock.advance(0);
    expect(world.healthy()).not.toContain("a:1");
  });
});

describe("damping", { timeout: 60_000 }, () => {
  it("holds a flapping server down, so that its changes are told at most once in twenty", async () => {
    const count = 50;
    const world = openWorld(addresses(count));
    await world.clock.advance(20_000);
    const flapping = addresses(count / 10);
    const { version } = world.registry;
    let raw = 0;
    // 1 Hz for three minutes, each in its own phase.
    for (let step = 0; step < 180 * 10; step++) {
      for (const [index, address] of flapping.entries()) {
        const phase = (step + 2 * index) % 10;
        if (phase === 0 || phase === 5) {
          world.connector.set(address, phase === 0 ? "failed" : "ready");
          raw++;
        }
      }
      await world.clock.advance(100);
    }
    expect(raw).toBe(2 * 180 * flapping.length);
    const told = world.registry.version - version;
    expect(told).toBeGreaterThan(0);
    expect(told).toBeLessThanOrEqual(raw / 20);
    expect(world.registry.summary().damped).toBe(flapping.length);
    expect(world.events.filter(({ event }) => event === "damped")).toHaveLength(flapping.length);
    expect(world.registry.dump()).toContain("damped");
    // And it ends: a minute after the last fall at the latest.
    for (const address of flapping) world.connector.set(address, "ready");
    await world.clock.advance(61_000);
    expect(world.healthy()).toHaveLength(count);
    expect(world.registry.summary().damped).toBe(0);
  });

  it("does not hold down a server that stopped once or twice", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(5000);
    for (let turn = 0; turn < 2; turn++) {
      world.probes.silence("a:1");
      await world.clock.advance(3000);
      expect(world.healthy()).toEqual(["b:1"]);
      world.probes.answer("a:1", {});
      await until(world, () => world.healthy().length === 2, 1000);
    }
  });

  it("does not hold down a server that its locator forgets and finds again", async () => {
    const world = openWorld(["a:1", "b:1", "c:1"]);
    await world.clock.advance(5000);
    for (let turn = 0; turn < 10; turn++) {
      world.locator.set(["a:1", "b:1"]);
      await world.clock.advance(500);
      world.locator.set(["a:1", "b:1", "c:1"]);
      await world.clock.advance(500);
      expect(world.healthy()).toEqual(["a:1", "b:1", "c:1"]);
    }
  });

  it("is not forgotten when the locator forgets the server and finds it again", async () => {
    const world = openWorld(["a:1", "b:1", "c:1"]);
    await world.clock.advance(5000);
    for (let fall = 0; fall < 3; fall++) {
      world.connector.set("c:1", "failed");
      await world.clock.advance(500);
      world.connector.set("c:1", "ready");
      await world.clock.advance(500);
    }
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    expect(named(world, "damped")).toHaveLength(1);
    world.locator.set(["a:1", "b:1"]);
    await world.clock.advance(500);
    world.locator.set(["a:1", "b:1", "c:1"]);
    await world.clock.advance(500);
    expect(world.registry.inspect({ host: "c", port: 1 })?.reasons).toEqual(["damped"]);
  });

  it("does not leave nobody: held down servers are used in a panic", async () => {
    const world = openWorld(["a:1"]);
    await world.clock.advance(1000);
    const flip: ConnectionState[] = ["failed", "ready"];
    for (let turn = 0; turn < 20; turn++) {
      world.connector.set("a:1", flip[turn % 2]!);
      await world.clock.advance(500);
    }
    expect(world.registry.summary()).toMatchObject({ damped: 1, panic: "usable", healthy: 1 });
  });
});

describe("reports of failed calls", { timeout: 60_000 }, () => {
  const report = (world: World, address: string, outcome: "ok" | "failed" | "timeout", times: number) => {
    for (let call = 0; call < times; call++) world.view(address).report(outcome);
  };

  it("eject a server after five in a row, for longer each time", async () => {
    const world = openWorld(addresses(5));
    await world.clock.advance(1000);
    report(world, "a:1", "failed", 4);
    report(world, "a:1", "ok", 1);
    report(world, "a:1", "timeout", 4);
    expect(world.healthy()).toHaveLength(5);
    report(world, "a:1", "timeout", 1);
    expect(world.healthy()).toHaveLength(4);
    expect(world.registry.summary().ejected).toBe(1);
    expect(await until(world, () => world.healthy().length === 5)).toBe(5000);
    report(world, "a:1", "failed", 5);
    expect(await until(world, () => world.healthy().length === 5)).toBe(10_000);
    await world.clock.advance(60_000);
    report(world, "a:1", "failed", 5);
    expect(await until(world, () => world.healthy().length === 5)).toBe(5000);
  });

  it("eject no more than the share, but always one", async () => {
    for (const [count, most] of [
      [2, 1],
      [10, 2],
      [50, 10],
    ] as const) {
      const world = openWorld(addresses(count));
      await world.clock.advance(1000);
      for (const address of addresses(count)) report(world, address, "failed", 5);
      expect(world.healthy()).toHaveLength(count - most);
      await world.clock.advance(10_000);
      expect(world.healthy()).toHaveLength(count);
    }
  });

  it("do not leave nobody", async () => {
    const world = openWorld(["a:1"]);
    await world.clock.advance(1000);
    report(world, "a:1", "failed", 50);
    expect(world.healthy()).toEqual(["a:1"]);
  });

  it("count through views that are out of date, and do nothing when they are switched off", async () => {
    const world = openWorld(addresses(3));
    await world.clock.advance(1000);
    const old = world.view("a:1");
    world.locator.set([{ host: "a", port: 1, labels: { new: "yes" } }, "a:2", "a:3"]);
    await world.clock.advance(0);
    for (let call = 0; call < 5; call++) old.report("failed");
    expect(world.healthy()).toHaveLength(2);
    const off = openWorld(addresses(3), { judgement: { outlier: false } });
    await off.clock.advance(1000);
    report(off, "a:1", "failed", 100);
    expect(off.healthy()).toHaveLength(3);
  });
});

describe("a newcomer's weight", { timeout: 60_000 }, () => {
  it("rises from a tenth to all in the time of the slow start", async () => {
    const world = openWorld(["a:1"], { slowStartMs: 10_000 });
    await world.clock.advance(0);
    const view = world.view("a:1");
    expect(view.weight).toBeCloseTo(0.1);
    await world.clock.advance(5000);
    expect(view.weight).toBeCloseTo(0.55);
    await world.clock.advance(6000);
    expect(view.weight).toBe(1);
  });

  it("does not fall for a server that only blinked, and does for one that was restarted", async () => {
    const world = openWorld(["a:1", "b:1"], { slowStartMs: 10_000 });
    await world.clock.advance(20_000);
    world.probes.silence("a:1");
    await world.clock.advance(3000);
    world.probes.answer("a:1", {});
    await world.clock.advance(1000);
    expect(world.view("a:1")).toMatchObject({ healthy: true, weight: 1 });
    world.connector.set("a:1", "failed");
    await world.clock.advance(500);
    world.connector.set("a:1", "ready");
    await world.clock.advance(0);
    expect(world.view("a:1")).toMatchObject({ healthy: true, weight: 1 });
    await world.clock.advance(60_000);
    world.connector.set("a:1", "failed");
    await world.clock.advance(2000);
    world.connector.set("a:1", "ready");
    await world.clock.advance(0);
    expect(world.view("a:1").healthy).toBe(true);
    expect(world.view("a:1").weight).toBeCloseTo(0.1);
  });

  it("is all at once without a slow start", async () => {
    const world = openWorld(["a:1"], { slowStartMs: 0 });
    await world.clock.advance(0);
    expect(world.view("a:1").weight).toBe(1);
  });
});
