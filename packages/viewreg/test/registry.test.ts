import { infinity } from "@x/space";
import { describe, expect, it } from "vitest";
import { Registry, RegistryError } from "../src/index.js";
import { fakeConnector, fakeLocator, fakeProbe, manualClock, withFeatures } from "../src/testing.js";
import { type Info, openWorld } from "./support/world.js";

describe("a registry", () => {
  it("is empty as long as the locator has nothing", async () => {
    const { registry, clock } = openWorld([]);
    expect(registry.allViews()).toEqual([]);
    await clock.advance(10_000);
    expect(registry.allViews()).toEqual([]);
    expect(registry.healthyViews()).toEqual([]);
    expect(registry.viewsFor("k")).toEqual([]);
    expect(registry.dump()).toBe("");
    expect(registry.version).toBe(0);
  });

  it("has a server as soon as the locator does, and finds it healthy with its first good answer", async () => {
    const { registry, clock, connector, healthy, all, view } = openWorld(["a:1"], {
      info: { features: ["kv"] },
    });
    connector.set("a:1", "connecting");
    await clock.advance(500);
    expect(all()).toEqual(["a:1"]);
    expect(healthy()).toEqual([]);
    expect(view("a:1").provides()).toBe(false);
    expect(view("a:1").info).toBeUndefined();
    connector.set("a:1", "ready");
    await clock.advance(0);
    expect(healthy()).toEqual(["a:1"]);
    expect(view("a:1").info).toEqual({ features: ["kv"] });
    expect(registry.summary()).toMatchObject({ servers: 1, connected: 1, healthy: 1, unhealthy: 0 });
  });

  it("is healthy when connection and probe are", async () => {
    const { clock, connector, probes, healthy } = openWorld(["a:1", "b:1", "c:1", "d:1"]);
    connector.set("b:1", "failed");
    probes.fail("c:1", new Error("no"));
    connector.set("d:1", "failed");
    probes.fail("d:1", new Error("no"));
    await clock.advance(5000);
    expect(healthy()).toEqual(["a:1"]);
  });

  it("gives healthy views with all the features that are asked for", async () => {
    const { registry, clock, probes } = openWorld(["a:1", "b:1", "c:1"]);
    probes.answer("a:1", { features: ["kv"] });
    probes.answer("b:1", { features: ["kv", "scan"] });
    probes.answer("c:1", {});
    await clock.advance(100);
    expect(registry.healthyViews()).toHaveLength(3);
    expect(registry.healthyViews("kv").map(String).sort()).toEqual(["a:1 (kv)", "b:1 (kv, scan)"]);
    expect(registry.healthyViews("kv", "scan").map(String)).toEqual(["b:1 (kv, scan)"]);
    expect(registry.healthyViews("other")).toEqual([]);
  });

  it("keeps the last known features of a server that is unwell", async () => {
    const { registry, clock, probes, view, healthy } = openWorld(["a:1", "b:1"]);
    await clock.advance(100);
    probes.fail("a:1", new Error("no"));
    await clock.advance(5000);
    expect(healthy()).toEqual(["b:1"]);
    expect(view("a:1").healthy).toBe(false);
    expect(view("a:1").provides("kv", "scan")).toBe(true);
    expect(registry.healthyViews("kv")).toHaveLength(1);
  });

  it("gives arrays that belong to the caller", async () => {
    const { registry, clock } = openWorld(["a:1", "b:1"]);
    await clock.advance(100);
    registry.allViews().length = 0;
    registry.healthyViews().length = 0;
    expect(registry.allViews()).toHaveLength(2);
    expect(registry.healthyViews()).toHaveLength(2);
  });

  it("gives views that stay as they were, and a new one only of the server that changed", async () => {
    const { clock, connector, view } = openWorld(["a:1", "b:1"]);
    await clock.advance(1000);
    const before = { a: view("a:1"), b: view("b:1") };
    connector.set("a:1", "failed");
    expect(before.a.healthy).toBe(true);
    expect(Object.isFrozen(before.a)).toBe(true);
    expect(view("a:1")).not.toBe(before.a);
    expect(view("a:1").healthy).toBe(false);
    expect(view("a:1").channel).toBe(before.a.channel);
    expect(view("b:1")).toBe(before.b);
  });

  it("writes a view as its address and its features, and an IPv6 address in brackets", async () => {
    const { clock, registry, probes } = openWorld(["[::1]:80"]);
    expect(registry.allViews().map(String)).toEqual([]);
    await clock.advance(0);
    expect(registry.allViews().map(String)).toEqual(["[::1]:80 (kv, scan)"]);
    probes.answer("[::1]:80", {});
    await clock.advance(1000);
    expect(registry.allViews().map(String)).toEqual(["[::1]:80"]);
  });

  it.each([
    ["in another order", ["b:1", "a:1"]],
    ["with duplicates", ["a:1", "b:1", "a:1", "b:1"]],
    ["again", ["a:1", "b:1"]],
  ])("does not change when it is given the same endpoints %s", async (_, endpoints) => {
    const { registry, clock, locator, connector, events } = openWorld(["a:1", "b:1"]);
    await clock.advance(1000);
    const before = { version: registry.version, views: registry.allViews(), events: events.length };
    locator.set(endpoints);
    await clock.advance(1000);
    expect({ version: registry.version, views: registry.allViews(), events: events.length }).toEqual(before);
    expect(connector.connects()).toBe(2);
  });

  it("does not change when a probe says the same in a new object", async () => {
    const { registry, clock, probes, view } = openWorld(["a:1"]);
    probes.script("a:1", () =>
      Promise.resolve({ features: ["kv"], serves: { from: "a", to: infinity }, zone: "z" }),
    );
    await clock.advance(1000);
    const before = { version: registry.version, view: view("a:1") };
    await clock.advance(10_000);
    expect(registry.version).toBe(before.version);
    expect(view("a:1")).toBe(before.view);
    expect(probes.calls("a:1")).toBeGreaterThan(20);
  });

  it("changes when a probe says something else", async () => {
    const { registry, clock, probes, view } = openWorld(["a:1"]);
    await clock.advance(1000);
    const { version } = registry;
    probes.answer("a:1", { features: ["kv", "scan"], zone: "z" });
    await clock.advance(1000);
    expect(registry.version).toBe(version + 1);
    expect(view("a:1").info?.zone).toBe("z");
  });

  it("makes a new view when only labels have changed, over the same connection", async () => {
    const { registry, clock, locator, connector, view, healthy } = openWorld(["a:1"]);
    await clock.advance(1000);
    const before = { version: registry.version, view: view("a:1") };
    locator.set([{ host: "a", port: 1, labels: { zone: "north" } }]);
    await clock.advance(0);
    expect(registry.version).toBe(before.version + 1);
    expect(view("a:1").endpoint.labels).toEqual({ zone: "north" });
    expect(view("a:1").channel).toBe(before.view.channel);
    expect(healthy()).toEqual(["a:1"]);
    expect(connector.connects()).toBe(1);
  });

  it("obeys a list that is empty", async () => {
    const { clock, locator, all } = openWorld(["a:1"]);
    await clock.advance(1000);
    locator.set([]);
    await clock.advance(0);
    expect(all()).toEqual([]);
  });

  it("closes the connection of a removed server only after the drain time, and its view can be used until then", async () => {
    const { registry, clock, locator, view, all } = openWorld(["a:1", "b:1"], { drainMs: 5000 });
    await clock.advance(1000);
    const old = view("a:1");
    locator.set(["b:1"]);
    await clock.advance(4999);
    expect(all()).toEqual(["b:1"]);
    expect(old.channel.open).toBe(true);
    expect(registry.summary().draining).toBe(1);
    old.report("failed");
    await clock.advance(1);
    expect(old.channel.open).toBe(false);
    expect(registry.summary().draining).toBe(0);
  });

  it("goes on with the same connection when a removed server comes back in time", async () => {
    const { clock, locator, connector, view, healthy } = openWorld(["a:1"], { drainMs: 5000 });
    await clock.advance(1000);
    const old = view("a:1");
    locator.set([]);
    await clock.advance(3000);
    locator.set(["a:1"]);
    await clock.advance(0);
    expect(healthy()).toEqual(["a:1"]);
    expect(view("a:1").channel).toBe(old.channel);
    expect(view("a:1").provides("kv")).toBe(true);
    await clock.advance(60_000);
    expect(old.channel.open).toBe(true);
    expect(connector.connects()).toBe(1);
  });

  it("does not take a server that came back for well before it has answered again", async () => {
    const { clock, locator, probes, healthy } = openWorld(["a:1"]);
    await clock.advance(1000);
    locator.set([]);
    await clock.advance(1000);
    probes.silence("a:1");
    locator.set(["a:1"]);
    await clock.advance(300);
    expect(healthy()).toEqual([]);
  });

  it("ends what a probe left going, however it was answered", async () => {
    for (const outcome of ["answers", "denies", "fails", "makes no sense"]) {
      const { clock, probes } = openWorld(["a:1"]);
      let going = 0;
      probes.script("a:1", async ({ signal }) => {
        going++;
        // A second question, which is not waited for.
        signal.addEventListener("abort", () => going--, { once: true });
        if (outcome === "denies") throw new RegistryError("not-serving", "no");
        if (outcome === "fails") throw new Error("no");
        return outcome === "answers" ? {} : (5 as unknown as Info);
      });
      await clock.advance(5000);
      expect(probes.calls()).toBeGreaterThan(10);
      expect(going).toBe(0);
    }
  });

  it("refuses options that make no sense, and says which", () => {
    const base = {
      locator: fakeLocator(),
      connector: fakeConnector(),
      probe: fakeProbe<Info>({}).probe,
      clock: manualClock(),
    };
    const refused: readonly [object, RegExp][] = [
      [{ probing: { intervalMs: 0 } }, /probing\.intervalMs is 0/],
      [{ probing: { jitter: 1.5 } }, /jitter/],
      [{ probing: { maxProbesPerSecond: Number.NaN } }, /maxProbesPerSecond/],
      [{ judgement: { rise: 1.5 } }, /rise.*whole/],
      [{ judgement: { maxSilenceMs: 200 } }, /maxSilenceMs.*intervalMs/],
      [{ judgement: { damping: { suppress: 1, reuse: 1 } } }, /reuse.*suppress/],
      [{ drainMs: -1 }, /drainMs/],
      [{ slowStartMs: "10" }, /slowStartMs is "10"/],
      [{ probe: undefined }, /probe is a function/],
      [{ locator: {} }, /locator\.locate/],
      [{ extend: { channel: 1 } }, /`channel`/],
      [{ extend: { toString: () => "" } }, /`toString`/],
    ];
    for (const [options, message] of refused) {
      const open = () => Registry.open<Info, unknown>({ ...base, ...(options as object) });
      expect(open).toThrow(RegistryError);
      expect(open).toThrow(message);
    }
  });
});

describe("views for a point", () => {
  const served = (from: string, to: string | typeof infinity): Info => ({
    features: ["kv"],
    serves: { from, to },
  });

  it("are the healthy ones whose range has the point", async () => {
    const { registry, clock, connector, probes } = openWorld(["a:1", "b:1", "c:1", "d:1"]);
    probes.answer("a:1", served("", "m"));
    probes.answer("b:1", served("m", infinity));
    probes.answer("c:1", { ...served("", infinity), features: ["kv", "scan"] });
    probes.answer("d:1", { features: ["kv"] });
    await clock.advance(1000);
    const at = (point: string, ...features: string[]) =>
      registry
        .viewsFor(point, ...features)
        .map(({ endpoint }) => endpoint.host)
        .sort();
    expect(at("")).toEqual(["a", "c"]);
    expect(at("lzz")).toEqual(["a", "c"]);
    expect(at("m")).toEqual(["b", "c"]);
    expect(at("m", "scan")).toEqual(["c"]);
    connector.set("c:1", "failed");
    expect(at("m")).toEqual(["b"]);
    connector.set("c:1", "ready");
    await clock.advance(0);
    expect(at("m")).toEqual(["b", "c"]);
    probes.answer("b:1", served("n", infinity));
    await clock.advance(1000);
    expect(at("m")).toEqual(["c"]);
  });

  it("are visited without an array, also by a visitor that asks for another point", async () => {
    const { registry, clock, probes } = openWorld(["a:1", "b:1"]);
    probes.answer("a:1", served("", "m"));
    probes.answer("b:1", served("m", infinity));
    await clock.advance(1000);
    const seen: string[] = [];
    registry.visitViewsFor("a", (outer) => {
      registry.visitViewsFor("z", (inner) => void seen.push(`${outer.endpoint.host}${inner.endpoint.host}`));
      seen.push(outer.serves?.from ?? "?");
    });
    expect(seen).toEqual(["ab", ""]);
  });

  it("lets out what a visitor throws, and goes on working", async () => {
    const { registry, clock, probes } = openWorld(["a:1"]);
    probes.answer("a:1", served("", infinity));
    await clock.advance(1000);
    const error = new Error("mine");
    const visit = () =>
      registry.visitViewsFor("a", () => {
        throw error;
      });
    expect(visit).toThrow(error);
    expect(registry.viewsFor("a")).toHaveLength(1);
  });

  it("are refused for what is no point of the space, once there is one", async () => {
    const { registry, clock, probes } = openWorld(["a:1"]);
    probes.answer("a:1", served("", infinity));
    await clock.advance(1000);
    expect(() => registry.viewsFor(-5 as unknown as string)).toThrow(RegistryError);
    expect(() => registry.viewsFor(infinity as unknown as string)).toThrow(/no point of/);
  });

  it("have a range of their own, that nobody can change", async () => {
    const { clock, probes, view } = openWorld(["a:1"]);
    const serves = { from: "a", to: "b" };
    probes.answer("a:1", { serves });
    await clock.advance(1000);
    expect(view("a:1").serves).toEqual(serves);
    expect(Object.isFrozen(view("a:1").serves)).toBe(true);
  });

  it("can be of another space when nobody serves anything of the first one any more", async () => {
    const clock = manualClock();
    const locator = fakeLocator(["a:1"]);
    const probes = fakeProbe<{ readonly serves: { readonly from: unknown; readonly to: unknown } }>({
      serves: { from: 1n, to: 5n },
    });
    const registry = Registry.open<Info, unknown>({
      locator,
      connector: fakeConnector(),
      probe: probes.probe as never,
      clock,
    });
    await clock.advance(0);
    expect(registry.viewsFor(2n as never)).toHaveLength(1);
    locator.set([]);
    await clock.advance(0);
    probes.answer("b:1", { serves: { from: "a", to: "b" } });
    locator.set(["b:1"]);
    await clock.advance(0);
    expect(registry.viewsFor("aa")).toHaveLength(1);
  });
});

describe("what is added to views", () => {
  it("are methods and getters in which `this` is the view", async () => {
    const clock = manualClock();
    const probes = fakeProbe<Info>({ features: ["kv"], zone: "north" });
    const registry = Registry.open({
      locator: fakeLocator(["a:1"]),
      connector: fakeConnector(),
      probe: probes.probe,
      clock,
      extend: {
        greet(name: string): string {
          return `${name} at ${String(this)}`;
        },
        get zone(): string | undefined {
          return this.info?.zone;
        },
      },
    });
    await clock.advance(0);
    const [view] = registry.healthyViews();
    expect(view?.greet("you")).toBe("you at a:1 (kv)");
    expect(view?.zone).toBe("north");
    expect(Object.keys(view ?? {})).not.toContain("greet");
  });

  it("are the features that a test gives to a copy", async () => {
    const { registry, clock, view } = openWorld(["a:1"]);
    await clock.advance(100);
    const copy = withFeatures(view("a:1"), "other");
    expect(copy.provides("other")).toBe(true);
    expect(copy.provides("kv")).toBe(false);
    expect(String(copy)).toBe("a:1 (other)");
    expect(copy.healthy).toBe(true);
    expect(copy.channel).toBe(view("a:1").channel);
    expect(view("a:1").provides("kv")).toBe(true);
    expect(registry.healthyViews("other")).toEqual([]);
    expect(() => withFeatures({ provides: () => true }, "kv")).toThrow(RegistryError);
  });
});

describe("a dump", () => {
  it("has a line for each server, sorted by host and then by port as a number", async () => {
    const { registry, clock, probes, connector } = openWorld(["b:9", "a:100", "b:10", "a:20"]);
    probes.answer("a:20", { features: ["kv"], serves: { from: "a", to: infinity } });
    probes.fail("a:100", new Error("odd\nanswer"));
    connector.set("b:10", "failed");
    await clock.advance(2000);
    const lines = registry.dump().split("\n");
    expect(lines).toHaveLength(5);
    expect(lines[0]).toMatch(/^a:20 \(kv\) healthy; serves \["a", inf\); answered \d+ ms ago$/);
    expect(lines[1]).toMatch(
      /^a:100 unhealthy; bad-answers; answered \d+ ms ago; probe: bad-answer: odd answer$/,
    );
    expect(lines[2]).toMatch(/^b:9 \(kv, scan\) healthy; answered \d+ ms ago$/);
    expect(lines[3]).toMatch(/^b:10 unhealthy; disconnected; never answered$/);
    expect(lines[4]).toBe("");
  });
});

describe("the judgement of one server", () => {
  it("says how it is, for how long, why, when it last answered, and what went wrong last", async () => {
    const judgement = { panicThreshold: 0 };
    const { registry, clock, connector, probes } = openWorld(["a:1"], { judgement });
    const a = { host: "a", port: 1 };
    connector.set("a:1", "connecting");
    await clock.advance(300);
    expect(registry.inspect(a)).toEqual({
      endpoint: a,
      healthy: false,
      forMs: 300,
      reasons: ["connecting"],
      answeredAgoMs: undefined,
      lastError: undefined,
    });
    connector.set("a:1", "ready");
    await clock.advance(1_000);
    const well = registry.inspect(a);
    expect(well).toMatchObject({ healthy: true, forMs: 1_000, reasons: [], lastError: undefined });
    expect(well?.answeredAgoMs).toBeLessThanOrEqual(250);
    probes.fail("a:1", new Error("the disk\nis full"));
    await clock.advance(3_000);
    const unwell = registry.inspect(a);
    expect(unwell).toMatchObject({
      healthy: false,
      reasons: ["bad-answers"],
      lastError: "the disk is full",
    });
    // Out with the third bad answer, and they come each 200 to 250 ms.
    expect(unwell?.forMs).toBeGreaterThan(2_000);
    expect(unwell?.forMs).toBeLessThan(3_000);
    connector.set("a:1", "failed");
    await clock.advance(0);
    expect(registry.inspect(a)).toMatchObject({ healthy: false, reasons: ["disconnected"] });
  });

  it("is none for a server that the locator does not have", async () => {
    const { registry, clock, locator } = openWorld(["a:1"]);
    await clock.advance(100);
    expect(registry.inspect({ host: "a", port: 2 })).toBeUndefined();
    expect(registry.find({ host: "a", port: 2 })).toBeUndefined();
    expect(registry.find({ host: "a", port: 1 })).toBe(registry.allViews()[0]);
    locator.set([]);
    await clock.advance(100);
    expect(registry.find({ host: "a", port: 1 })).toBeUndefined();
    expect(registry.inspect({ host: "a", port: 1 })).toBeUndefined();
    await registry[Symbol.asyncDispose]();
    expect(registry.inspect({ host: "a", port: 1 })).toBeUndefined();
  });
});
