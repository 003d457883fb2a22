import { infinity } from "@x/space";
import { describe, expect, it } from "vitest";
import { Registry, RegistryError } from "../src/index.js";
import { fakeConnector, fakeLocator, manualClock } from "../src/testing.js";
import { counter, type Info, named, openWorld } from "./support/world.js";

describe("an endpoint that cannot be connected to", { timeout: 60_000 }, () => {
  it("is logged and counted once, until it was connected and is lost again, and shown in the dump", async () => {
    const errors = counter();
    const world = openWorld(["a:1", "b:1"], { metrics: { errors } });
    world.connector.set("a:1", "failed");
    await world.clock.advance(1000);
    const { version } = world.registry;
    // A connection that tries again and again may say so or not.
    for (const state of ["connecting", "failed", "connecting", "failed"] as const) {
      world.connector.set("a:1", state);
      await world.clock.advance(1000);
    }
    expect(named(world, "disconnected")).toEqual([{ event: "disconnected", endpoint: "a:1" }]);
    expect(errors.counts).toEqual({ connection: 1 });
    expect(world.registry.dump()).toContain("a:1 unhealthy; disconnected; never answered");
    expect([world.healthy(), world.registry.version]).toEqual([["b:1"], version]);
    world.connector.set("a:1", "ready");
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    world.connector.set("a:1", "failed");
    await world.clock.advance(1000);
    expect(named(world, "disconnected")).toHaveLength(2);
    expect(errors.counts).toEqual({ connection: 2 });
  });
});

describe("a probe that misbehaves", { timeout: 60_000 }, () => {
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
    [
      "a range of another space",
      { serves: { from: 1, to: 2 } },
      /of hash16, and of utf8Keys with the other servers/,
    ],
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
    expect(errors.counts.probe).toBe(1);
    expect(probes.counts.bad).toBeGreaterThan(30);
    expect(world.registry.dump().split("\n")[0]).toContain("probe: nonsense");
  });

  it("answers badly when it throws instead of rejecting", async () => {
    const errors = counter();
    const world = openWorld(["a:1", "b:1"], { metrics: { errors } });
    await world.clock.advance(1000);
    world.probes.script("a:1", () => {
      throw new Error("at once");
    });
    await world.clock.advance(1000);
    expect(world.healthy()).toEqual(["b:1"]);
    expect(world.registry.dump()).toContain("probe: bad-answer: at once");
    expect(named(world, "probe-failed")).toHaveLength(1);
    expect(errors.counts.probe).toBe(1);
  });

  it("is silent when it hangs even after it was aborted, and what it says later does not count", async () => {
    const errors = counter();
    const world = openWorld(["a:1", "b:1"], { metrics: { errors } });
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
    expect(named(world, "probe-failed")).toMatchObject([{ endpoint: "a:1", reason: "silent" }]);
    expect(errors.counts.probe).toBe(1);
    expect(world.registry.dump()).toContain("probe: silent: no answer in 500 ms");
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

describe("other parties that misbehave", { timeout: 60_000 }, () => {
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
    const errors = counter();
    const world = openWorld(["a:1", "b:1"], {
      metrics: { errors },
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
    expect(errors.counts).toEqual({ connector: 1 });
    refuses = false;
    await world.clock.advance(5000);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    expect(world.registry.dump()).not.toContain("refused");
  });

  it("is a connection that throws when it is listened to, or closed", async () => {
    const errors = counter();
    const connector = fakeConnector();
    let closed = 0;
    const world = openWorld(["a:1", "b:1", "c:1"], {
      metrics: { errors },
      drainMs: 100,
      connector: {
        connect(endpoint) {
          const connection = connector.connect(endpoint);
          if (endpoint.host === "a")
            connection.listen = () => {
              throw new Error("no events");
            };
          const close = connection.close.bind(connection);
          connection.close = () => {
            closed++;
            close();
            if (endpoint.host === "b") throw new Error("stuck");
          };
          return connection;
        },
      },
    });
    await world.clock.advance(1000);
    expect([world.all(), closed, connector.open]).toEqual([["b:1", "c:1"], 1, 2]);
    expect(world.registry.dump()).toContain("a:1 refused; connector: no events");
    world.locator.set(["c:1"]);
    await world.clock.advance(1000);
    expect([world.healthy(), connector.open]).toEqual([["c:1"], 1]);
    expect(named(world, "close-failed")).toMatchObject([{ endpoint: "b:1", reason: "stuck" }]);
    expect(errors.counts).toEqual({ connector: 2 });
  });

  it("says again what makes sense: then no failure of it is shown any more", async () => {
    let words: readonly string[] = ["nonsense"];
    const world = openWorld(["a:1"], {
      listen: async function* (_channel, { signal }) {
        yield* words as readonly "serving"[];
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    await world.clock.advance(1000);
    expect(world.registry.dump()).toContain("listen:");
    words = ["serving"];
    world.connector.set("a:1", "failed");
    world.connector.set("a:1", "ready");
    await world.clock.advance(1000);
    expect(world.registry.dump()).not.toContain("listen:");
    expect(named(world, "listen-failed")).toHaveLength(1);
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
