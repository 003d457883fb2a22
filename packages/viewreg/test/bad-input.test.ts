import { infinity } from "@x/space";
import { describe, expect, it } from "vitest";
import { Registry, RegistryError } from "../src/index.js";
import { fakeConnector, fakeLocator, manualClock } from "../src/testing.js";
import { type Info, openWorld, type World } from "./support/world.js";

const named = (world: World, name: string) => world.events.filter(({ event }) => event === name);

/** Counts what goes into a counter, by the value of its one label. */
function counter(): {
  readonly counts: Record<string, number>;
  inc(labels: Record<string, string>): void;
} {
  const counts: Record<string, number> = {};
  return {
    counts,
    inc(labels) {
      for (const value of Object.values(labels)) counts[value] = (counts[value] ?? 0) + 1;
    },
  };
}

describe("a locator that throws", () => {
  it("leaves what it said last, is asked again after a growing pause, and logged once per outage", async () => {
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
    expect(errors.counts.locator).toBeGreaterThanOrEqual(12);
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
    const world = openWorld([], { locator: { locate: locate as never } });
    await world.clock.advance(60_000);
    expect(named(world, "locator-failed")).toHaveLength(1);
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
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    const { version } = world.registry;
    world.locator.set(garbage);
    await world.clock.advance(1000);
    world.locator.set(garbage);
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    expect(world.registry.version).toBe(version);
    expect(named(world, "locator-failed")).toHaveLength(1);
    expect(named(world, "locator-failed")[0]?.error).toMatchObject({ code: "bad-source" });
    world.locator.set(["a:1"]);
    await world.clock.advance(0);
    expect(world.all()).toEqual(["a:1"]);
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

describe("a probe that misbehaves", () => {
  it.each<[string, unknown, RegExp]>([
    ["nothing", undefined, /resolves to an object, not undefined/],
    ["null", null, /not null/],
    ["a text", "well", /not "well"/],
    ["an array", [], /not an array/],
    ["features that are no array", { features: "kv" }, /`features` is an array/],
    ["features that are no texts", { features: ["kv", 5] }, /a feature is a string/],
    ["a feature without a name", { features: [""] }, /a feature is a string/],
    ["too many features", { features: Array(1001).fill("f") }, /at most 1000/],
    ["no range", { serves: 5 }, /`serves` is a range/],
    ["a range without points", { serves: { from: {}, to: {} } }, /is no range/],
    ["a range that runs backwards", { serves: { from: "b", to: "a" } }, /is no range/],
    ["a range of another space", { serves: { from: 1, to: 2 } }, /as with the servers before/],
    [
      "a trap",
      {
        get features() {
          throw new Error("trap");
        },
      },
      /cannot be read/,
    ],
  ])("answers badly when it resolves to %s", async (_, nonsense, message) => {
    const errors = counter();
    const probes = counter();
    const world = openWorld(["a:1", "b:1"], {
      info: { serves: { from: "a", to: infinity } },
      metrics: { errors, probes },
    });
    await world.clock.advance(1000);
    world.probes.script("a:1", () => Promise.resolve(nonsense as Info));
    await world.clock.advance(10_000);
    expect(world.healthy()).toEqual(["b:1"]);
    expect(world.view("a:1").serves).toEqual({ from: "a", to: infinity });
    const failures = named(world, "probe-failed");
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatchObject({ endpoint: "a:1", reason: "nonsense" });
    expect(String(failures[0]?.error)).toMatch(message);
    expect(failures[0]?.error).toMatchObject({ code: "bad-answer" });
    expect(errors.counts.probe).toBeGreaterThan(30);
    expect(probes.counts.bad).toBe(errors.counts.probe);
    expect(world.registry.dump().split("\n")[0]).toContain("probe: nonsense");
  });

  it("answers badly when it throws instead of rejecting", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    world.probes.script("a:1", () => {
      throw new Error("at once");
    });
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["b:1"]);
    expect(world.registry.dump()).toContain("probe: bad-answer: at once");
  });

  it("is silent when it hangs even after it was aborted, and what it says later does not count", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    const late: (() => void)[] = [];
    world.probes.script(
      "a:1",
      () =>
        new Promise((resolve) => {
          late.push(() => resolve({ features: ["late"] }));
        }),
    );
    await world.clock.advance(5000);
    expect(world.healthy()).toEqual(["b:1"]);
    expect(late.length).toBeGreaterThanOrEqual(9);
    for (const say of late.slice(0, -1)) say();
    await world.clock.advance(0);
    expect(world.view("a:1").provides("late")).toBe(false);
    expect(world.healthy()).toEqual(["b:1"]);
  });

  it("is silent when it gives up by itself with a TimeoutError", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    world.probes.script("a:1", async () => {
      await new Promise<void>((resolve) => void world.clock.setTimer(400, resolve));
      throw new DOMException("too late", "TimeoutError");
    });
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["b:1"]);
    expect(world.registry.dump()).toContain("silent");
  });

  it("is logged once per kind of failure, and again when it was well between", async () => {
    const world = openWorld(["a:1", "b:1"]);
    await world.clock.advance(1000);
    world.probes.fail("a:1", new Error("one"));
    await world.clock.advance(3000);
    world.probes.fail("a:1", new Error("two"));
    await world.clock.advance(3000);
    expect(named(world, "probe-failed")).toHaveLength(1);
    expect(world.registry.dump()).toContain("two");
    world.probes.silence("a:1");
    await world.clock.advance(3000);
    expect(named(world, "probe-failed")).toHaveLength(2);
    world.probes.answer("a:1", {});
    await world.clock.advance(3000);
    world.probes.silence("a:1");
    await world.clock.advance(3000);
    expect(named(world, "probe-failed").map(({ reason }) => reason)).toEqual([
      "bad-answer",
      "silent",
      "silent",
    ]);
  });

  it("cannot break the lines of a dump, nor fill it", async () => {
    const world = openWorld(["a:1"], {
      info: { features: ["kv\n\u202e(evil)"], zone: "z" },
    });
    await world.clock.advance(1000);
    world.probes.fail("a:1", new Error(`line\nbreak\u2028${"x".repeat(100_000)}`));
    await world.clock.advance(1000);
    const dump = world.registry.dump();
    expect(dump.trimEnd()).not.toMatch(/[\n\u2028\u202e]/);
    expect(dump.length).toBeLessThan(500);
    world.probes.fail("a:1", {
      toString: () => {
        throw new Error("trap");
      },
    });
    await world.clock.advance(1000);
    expect(world.registry.dump()).toContain("cannot be shown");
  });
});

describe("other parties that misbehave", () => {
  it("says nonsense unasked: not listened to any more, logged and counted once", async () => {
    const errors = counter();
    const world = openWorld(["a:1"], {
      metrics: { errors },
      listen: async function* () {
        yield "whatever" as "serving";
        yield "not-serving" as const;
      },
    });
    await world.clock.advance(5000);
    expect(world.healthy()).toEqual(["a:1"]);
    expect(named(world, "listen-failed")).toHaveLength(1);
    expect(errors.counts.listen).toBe(1);
    expect(world.registry.dump()).toContain("listen:");
  });

  it("throws when it is asked to listen", async () => {
    const world = openWorld(["a:1"], {
      listen: () => {
        throw new Error("no");
      },
    });
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["a:1"]);
    expect(named(world, "listen-failed")).toHaveLength(1);
  });

  it("is a connector that throws for an endpoint: no view of it, told in the dump, tried again", async () => {
    let refuses = true;
    const connector = fakeConnector();
    const world = openWorld(["a:1", "b:1"], {
      connector: {
        connect(endpoint) {
          if (refuses && endpoint.host === "a") throw new Error("no such scheme");
          return connector.connect(endpoint);
        },
      },
    });
    await world.clock.advance(20_000);
    expect(world.all()).toEqual(["b:1"]);
    expect(world.registry.dump()).toContain("a:1 refused; connector: no such scheme");
    expect(named(world, "connect-failed")).toHaveLength(1);
    refuses = false;
    await world.clock.advance(5000);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    expect(world.registry.dump()).not.toContain("refused");
  });

  it("is a log or a metric that throws: ignored", async () => {
    const fail = () => {
      throw new Error("full");
    };
    const world = openWorld(["a:1"], {
      log: fail,
      metrics: {
        probes: { inc: fail },
        transitions: { inc: fail },
        views: { set: fail },
        probeSeconds: { observe: fail },
        errors: { inc: fail },
      },
    });
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["a:1"]);
    world.probes.fail("a:1", new Error("no"));
    world.locator.set(5);
    await world.clock.advance(1000);
    expect(world.all()).toEqual(["a:1"]);
  });

  it("is none of ours when an option is missing", () => {
    const open = () =>
      Registry.open({ locator: fakeLocator(), connector: fakeConnector(), clock: manualClock() } as never);
    expect(open).toThrow(RegistryError);
    expect(() => Registry.open(undefined as never)).toThrow(RegistryError);
  });
});
