import { describe, expect, it } from "vitest";
import { addresses, chance, openWorld, sleep, until, type World } from "./support/world.js";

describe("the cap on probes", { timeout: 60_000 }, () => {
  it("holds 250 servers to the second, and is not passed with more", async () => {
    const world = openWorld(addresses(600));
    await world.clock.advance(5000);
    expect(world.healthy()).toHaveLength(600);
    const before = world.probes.calls();
    await world.clock.advance(3000);
    const calls = world.probes.calls() - before;
    expect(calls).toBeLessThanOrEqual(3 * 1000 + 20);
    expect(calls).toBeGreaterThan(3 * 1000 - 100);
    expect(world.registry.summary()).toMatchObject({
      intervalMs: 600,
      noticeMs: 1400,
      probesPerSecond: 1000,
    });
    const few = openWorld(addresses(250));
    await few.clock.advance(1000);
    expect(few.registry.summary()).toMatchObject({ intervalMs: 250, noticeMs: 800 });
    expect(openWorld([]).registry.summary()).toMatchObject({ probesPerSecond: 0, noticeMs: 800 });
  });

  it("makes the time to notice as long as it says", async () => {
    const world = openWorld(addresses(100), { probing: { maxProbesPerSecond: 20 } });
    await world.clock.advance(30_000);
    const { noticeMs, intervalMs } = world.registry.summary();
    expect(intervalMs).toBe(5000);
    expect(noticeMs).toBe(5800);
    world.probes.silence("a:42");
    await until(world, () => world.healthy().length === 99, noticeMs + 1);
    expect(world.healthy()).not.toContain("a:42");
    await world.clock.advance(30_000);
    expect(world.healthy()).toHaveLength(99);
  });

  it("asks the servers evenly and in turn", async () => {
    const world = openWorld(addresses(100), { probing: { maxProbesPerSecond: 100 } });
    await world.clock.advance(5000);
    const counts = () => addresses(100).map((address) => world.probes.calls(address));
    const before = counts();
    await world.clock.advance(20_000);
    const asked = counts().map((count, index) => count - before[index]!);
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(19);
    expect(Math.max(...asked)).toBeLessThanOrEqual(21);
  });

  it("gives up nobody because others are silent, flap, or come in a crowd", async () => {
    const world = openWorld(addresses(100), { probing: { maxProbesPerSecond: 50 } });
    const random = chance(13);
    for (const address of addresses(400))
      world.probes.script(address, async () => {
        if (random() < 0.3) await sleep(world, 300 * random());
        return {};
      });
    await world.clock.advance(10_000);
    for (const address of addresses(10)) world.probes.silence(address);
    for (let turn = 0; turn < 100; turn++) {
      if (turn === 30) world.locator.set(addresses(400));
      if (turn === 60) world.locator.set(addresses(100));
      for (let flapping = 11; flapping <= 20; flapping++)
        world.connector.set(`a:${flapping}`, turn % 2 === 0 ? "failed" : "ready");
      await world.clock.advance(1000);
    }
    const wronged = world.events
      .filter(({ event }) => event === "unhealthy")
      .filter(({ endpoint = "" }) => Number(endpoint.slice(2)) > 20)
      .filter(({ reason }) => reason !== "removed");
    expect(wronged).toEqual([]);
  });

  it("judges nobody silent among 10,000 servers that are well, for a minute", async () => {
    const world = await openMany();
    const { version } = world.registry;
    const told = world.events.length;
    await world.clock.advance(60_000);
    expect([world.registry.version - version, world.events.slice(told)]).toEqual([0, []]);
    expect(world.healthy()).toHaveLength(10_000);
  });

  it("judges nobody silent among 10,000 servers of which 30 % at a time answer late by up to 450 ms", async () => {
    const world = await openMany((random) => (random() < 0.3 ? 450 * random() : 1));
    const told = world.events.length;
    await world.clock.advance(60_000);
    expect(world.events.slice(told)).toEqual([]);
  });

  it("notices that one of 10,000 stops within the time that the summary shows", async () => {
    const world = await openMany();
    const { noticeMs, intervalMs } = world.registry.summary();
    expect({ noticeMs, intervalMs }).toEqual({ noticeMs: 10_800, intervalMs: 10_000 });
    const stopped = [17, 4_711, 9_999];
    const took: number[] = [];
    for (const number of stopped) {
      await world.clock.advance(1_234);
      world.probes.silence(`a:${number}`);
      const before = world.healthy().length;
      const startMs = world.clock.monotonicMs();
      while (world.registry.summary().healthy === before) await world.clock.advance(10);
      took.push(world.clock.monotonicMs() - startMs);
    }
    expect(Math.max(...took)).toBeLessThanOrEqual(noticeMs + 10);
    expect(world.events.filter(({ event }) => event === "unhealthy").map(({ endpoint }) => endpoint)).toEqual(
      stopped.map((number) => `a:${number}`),
    );
    // Two good answers bring it back: two turns.
    for (const number of stopped) world.probes.answer(`a:${number}`, {});
    await world.clock.advance(2 * intervalMs + 1_000);
    expect(world.healthy()).toHaveLength(10_000);
  });

  it("lets one that is silent already be noticed sooner when there are fewer servers", async () => {
    const world = openWorld(addresses(100), { probing: { maxProbesPerSecond: 10 } });
    await world.clock.advance(30_000);
    // It has just answered, with 10 s to go.
    const calls = world.probes.calls("a:1");
    while (world.probes.calls("a:1") === calls) await world.clock.advance(10);
    world.probes.silence("a:1");
    world.locator.set(addresses(3));
    await world.clock.advance(0);
    const { noticeMs } = world.registry.summary();
    expect(noticeMs).toBeLessThan(1_200);
    await world.clock.advance(noticeMs);
    expect(world.healthy()).toEqual(["a:2", "a:3"]);
  });
});

/** 10,000 servers that are well, with the defaults of everything. @param answerMs until each answer */
async function openMany(answerMs: (random: () => number) => number = () => 1): Promise<World> {
  const world: World = openWorld(addresses(10_000), {
    probe: async (_channel, context) => {
      await sleep(world, answerMs(random));
      return world.probes.probe(undefined, context);
    },
  });
  const random = chance(17);
  while (world.registry.summary().healthy < 10_000) await world.clock.advance(1_000);
  return world;
}
