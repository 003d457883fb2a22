import { describe, expect, it } from "vitest";
import type { RegistryOptions } from "../src/index.js";
import { manualClock } from "../src/testing.js";
import { addresses, chance, type Info, named, openWorld, sleep, until } from "./support/world.js";

describe("a server that stops answering", { timeout: 60_000 }, () => {
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

  it("is not called silent when the first answer after the process stood still is read before its timers", async () => {
    for (const stallMs of [700, 800, 1500, 3000, 60_000]) {
      const world = openWorld(addresses(20));
      const unread: (() => void)[] = [];
      let held = false;
      for (const address of addresses(20))
        world.probes.script(address, async () => {
          if (held) await new Promise<void>((resolve) => unread.push(resolve));
          else await sleep(world, 1);
          return {};
        });
      await world.clock.advance(5000);
      held = true;
      await until(world, () => unread.length > 0);
      const before = world.probes.calls();
      // What the process does here takes so long; behind it, in the same turn, an answer is read.
      await world.clock.stall(stallMs, { read: () => unread.shift()?.() });
      held = false;
      for (const answer of unread.splice(0)) answer();
      await world.clock.advance(500);
      // Everybody is asked again at once, and not only when time has caught up.
      expect(world.probes.calls() - before).toBeGreaterThan(20);
      await world.clock.advance(60_000);
      expect(named(world, "unhealthy")).toEqual([]);
      await world.registry[Symbol.asyncDispose]();
    }
  });

  it("is not called silent when its answer came while the process stood still, and the timers go off first", async () => {
    for (let waitMs = 0; waitMs < 300; waitMs += 20) {
      const world = openWorld(["a:1"]);
      const unread: (() => void)[] = [];
      let held = false;
      world.probes.script("a:1", async () => {
        if (held) await new Promise<void>((resolve) => unread.push(resolve));
        return {};
      });
      await world.clock.advance(5000);
      held = true;
      await until(world, () => unread.length > 0);
      await world.clock.advance(waitMs);
      await world.clock.stall(3000);
      held = false;
      for (const answer of unread) answer();
      await world.clock.advance(5000);
      expect(named(world, "unhealthy")).toEqual([]);
      await world.registry[Symbol.asyncDispose]();
    }
  });

  it("is not called silent for the time in which another probe blocked this process", async () => {
    let blockedMs = 0;
    const clock = manualClock(1000);
    const world = openWorld(addresses(20), {
      clock: {
        monotonicMs: () => clock.monotonicMs() + blockedMs,
        setTimer: (delayMs, callback) => clock.setTimer(delayMs, callback),
      },
    });
    await clock.advance(5000);
    expect(world.healthy()).toHaveLength(20);
    let block = true;
    world.probes.script("a:1", async () => {
      if (block) blockedMs += 3000;
      block = false;
      return {};
    });
    await clock.advance(5000);
    expect(block).toBe(false);
    expect(named(world, "unhealthy")).toEqual([]);
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

describe("a connection", { timeout: 60_000 }, () => {
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

describe("a server that answers badly", { timeout: 60_000 }, () => {
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

describe("what a server tells unasked", { timeout: 60_000 }, () => {
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
