import { describe, expect, it } from "vitest";
import type { ConnectionState, RegistryOptions } from "../src/index.js";
import { chance, type Info, openWorld, type World } from "./support/world.js";

/** How long it takes until that is so, looking each ms. */
async function until(world: World, is: () => boolean, mostMs = 60_000): Promise<number> {
  const start = world.clock.monotonicMs();
  while (!is()) {
    const ms = world.clock.monotonicMs() - start;
    if (ms >= mostMs) throw new Error(`not within ${mostMs} ms`);
    await world.clock.advance(1);
  }
  return world.clock.monotonicMs() - start;
}

const addresses = (count: number): string[] => Array.from({ length: count }, (_, index) => `a:${index + 1}`);

describe("a server that stops answering", () => {
  it("is out within a second, and back within a second after it answers again, whenever it happens", async () => {
    const world = openWorld(["a:1", "b:1"], { judgement: { damping: false } });
    await world.clock.advance(5000);
    const random = chance(3);
    for (let turn = 0; turn < 20; turn++) {
      await world.clock.advance(Math.floor(5000 + 250 * random()));
      world.probes.silence("a:1");
      expect(await until(world, () => world.healthy().length === 1, 1000)).toBeGreaterThan(300);
      expect(world.healthy()).toEqual(["b:1"]);
      await world.clock.advance(Math.floor(2000 + 500 * random()));
      world.probes.answer("a:1", {});
      // Requests that came while it was stopped stay unanswered here, which is worse than a stopped process.
      await until(world, () => world.healthy().length === 2, 1000);
    }
    expect(world.events.filter(({ event, endpoint }) => event === "unhealthy" && endpoint === "b:1")).toEqual(
      [],
    );
  });

  it("is out within a second although its answers came irregularly before", async () => {
    const world = openWorld(["a:1"]);
    const random = chance(5);
    world.probes.script("a:1", async ({ signal }) => {
      if (random() < 0.3) await sleep(world, 300 * random());
      signal.throwIfAborted();
      return {};
    });
    await world.clock.advance(30_000);
    expect(world.healthy()).toEqual(["a:1"]);
    world.probes.silence("a:1");
    await until(world, () => world.healthy().length === 0, 1000);
  });

  it("is not called silent for the time in which this process stood still", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(5000);
    for (let turn = 0; turn < 20; turn++) {
      await world.clock.stall(10_000);
      expect(world.healthy()).toEqual(["a:1", "b:1"]);
      await world.clock.advance(500);
    }
    expect(world.events.filter(({ event }) => event === "unhealthy")).toEqual([]);
  });

  it("is not given up for answers of which 30 % are late by up to 300 ms", async () => {
    const world = openWorld(addresses(200));
    const random = chance(11);
    let heartbeats = 0;
    for (const address of addresses(200))
      world.probes.script(address, async () => {
        heartbeats++;
        if (random() < 0.3) await sleep(world, 300 * random());
        return {};
      });
    await world.clock.advance(40_000);
    expect(heartbeats).toBeGreaterThan(20_000);
    expect(world.events.filter(({ event }) => event === "unhealthy")).toEqual([]);
    expect(world.healthy()).toHaveLength(200);
  });
});

function sleep(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.clock.setTimer(ms, resolve));
}

describe("a connection", () => {
  it.each(["failed", "connecting"] as const)("that is %s takes its server out at once", async (state) => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    world.connector.set("a:1", state);
    expect(world.healthy()).toEqual(["b:1"]);
  });

  it("that is back needs one good answer", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    world.connector.set("a:1", "failed");
    await world.clock.advance(500);
    world.connector.set("a:1", "ready");
    expect(world.healthy()).toEqual(["b:1"]);
    await world.clock.advance(0);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
  });

  it("that is not ready is not probed", async () => {
    const world = openWorld(["a:1"]);
    world.connector.set("a:1", "failed");
    await world.clock.advance(10_000);
    expect(world.probes.calls()).toBe(0);
  });

  it("that breaks aborts the probe that is under way", async () => {
    const world = openWorld(["a:1"]);
    let aborted = false;
    world.probes.script("a:1", ({ signal }) => {
      signal.addEventListener("abort", () => {
        aborted = true;
      });
      return new Promise(() => {});
    });
    await world.clock.advance(10);
    world.connector.set("a:1", "failed");
    expect(aborted).toBe(true);
  });
});

describe("a server that answers badly", () => {
  it("is out after `fall` bad answers in a row and back after `rise` good ones", async () => {
    const world = openWorld(["a:1", "b:1"], { judgement: { fall: 4, rise: 3 } });
    await world.clock.advance(1000);
    const answersUntil = async (healthy: number): Promise<number> => {
      const calls = world.probes.calls("a:1");
      await until(world, () => world.healthy().length === healthy);
      return world.probes.calls("a:1") - calls;
    };
    world.probes.fail("a:1", new Error("no"));
    expect(await answersUntil(1)).toBe(4);
    world.probes.answer("a:1", {});
    expect(await answersUntil(2)).toBe(3);
  });

  it("stays in while its bad answers are not in a row", async () => {
    const world = openWorld(["a:1", "b:1"]);
    let calls = 0;
    world.probes.script("a:1", () =>
      calls++ % 3 === 0 ? Promise.resolve({}) : Promise.reject(new Error("no")),
    );
    await world.clock.advance(20_000);
    expect(world.events.filter(({ event }) => event === "unhealthy")).toEqual([]);
    expect(world.healthy()).toHaveLength(2);
  });

  it("says of itself that it does not serve, and is out at once", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    world.probes.deny("a:1");
    const calls = world.probes.calls("a:1");
    await until(world, () => world.healthy().length === 1, 300);
    expect(world.probes.calls("a:1")).toBe(calls + 1);
    world.probes.answer("a:1", {});
    await until(world, () => world.healthy().length === 2, 600);
  });
});

describe("what a server tells unasked", () => {
  type Word = "serving" | "not-serving" | "end" | "fail";

  function openListening(options: Partial<RegistryOptions<Info, unknown>> = {}) {
    const says = new Map<string, (word: Word) => void>();
    let listens = 0;
    let aborts = 0;
    const world = openWorld(["a:1", "b:1"], {
      ...(options as object),
      listen: async function* (_channel, { endpoint, signal }) {
        listens++;
        const words: Word[] = [];
        let wake: () => void = () => undefined;
        says.set(`${endpoint.host}:${endpoint.port}`, (word) => {
          words.push(word);
          wake();
        });
        signal.addEventListener("abort", () => {
          aborts++;
          wake();
        });
        for (;;) {
          while (words.length > 0) {
            const word = words.shift();
            if (word === "end") return;
            if (word === "fail") throw new Error("broken");
            yield word as "serving" | "not-serving";
          }
          if (signal.aborted) return;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
    });
    return {
      world,
      say: (address: string, word: Word) => says.get(address)?.(word),
      listens: () => listens,
      aborts: () => aborts,
    };
  }

  it("takes it out at once, and back in with the next good answer after it serves again", async () => {
    const { world, say } = openListening();
    await world.clock.advance(1000);
    say("a:1", "not-serving");
    await world.clock.advance(0);
    expect(world.healthy()).toEqual(["b:1"]);
    await world.clock.advance(5000);
    expect(world.healthy()).toEqual(["b:1"]);
    say("a:1", "serving");
    await until(world, () => world.healthy().length === 2, 300);
  });

  it("is forgotten when it stops telling, so that the probe decides alone", async () => {
    for (const end of ["end", "fail"] as const) {
      const { world, say } = openListening();
      await world.clock.advance(1000);
      say("a:1", "not-serving");
      await world.clock.advance(1000);
      expect(world.healthy()).toEqual(["b:1"]);
      say("a:1", end);
      await world.clock.advance(1000);
      expect(world.healthy()).toEqual(["a:1", "b:1"]);
    }
  });

  it("is listened to again with the next connection, and ended with the last one", async () => {
    const { world, say, listens, aborts } = openListening();
    await world.clock.advance(1000);
    expect(listens()).toBe(2);
    world.connector.set("a:1", "failed");
    expect(aborts()).toBe(1);
    say("a:1", "not-serving");
    await world.clock.advance(100);
    world.connector.set("a:1", "ready");
    await world.clock.advance(0);
    expect(listens()).toBe(3);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    await world.registry[Symbol.asyncDispose]();
    expect(aborts()).toBe(3);
  });

  it("does not make it well before it was ever asked", async () => {
    const { world, say } = openListening();
    world.probes.silence("a:1");
    await world.clock.advance(100);
    say("a:1", "serving");
    await world.clock.advance(100);
    expect(world.healthy()).toEqual(["b:1"]);
  });
});

describe("a panic", () => {
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

describe("damping", () => {
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

describe("reports of failed calls", () => {
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

describe("a newcomer's weight", () => {
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

describe("the cap on probes", () => {
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
});
