import { describe, expect, it } from "vitest";
import { RegistryError } from "../src/index.js";
import { openWorld } from "./support/world.js";

/** Whether a promise is settled by now, and how. */
function watch<T>(promise: Promise<T>): { readonly state: () => string; readonly error: () => unknown } {
  let state = "pending";
  let error: unknown;
  promise.then(
    (value) => {
      state = `resolved ${String(value)}`;
    },
    (reason: unknown) => {
      state = "rejected";
      error = reason;
    },
  );
  return { state: () => state, error: () => error };
}

describe("a version", () => {
  it("is the same as long as nothing changes, and rises when something does", async () => {
    const { registry, clock, locator } = openWorld(["a:1"]);
    await clock.advance(1000);
    const { version } = registry;
    await clock.advance(60_000);
    expect(registry.version).toBe(version);
    locator.set(["a:1", "b:1"]);
    await clock.advance(0);
    expect(registry.version).toBeGreaterThan(version);
  });

  it("is never given twice, and every version has its own time", async () => {
    const { registry, clock, connector } = openWorld(["a:1"]);
    await clock.advance(1000);
    const times = new Map<number, number>();
    for (let turn = 0; turn < 100; turn++) {
      connector.set("a:1", turn % 2 === 0 ? "failed" : "ready");
      times.set(registry.version, registry.lastChangedMs);
      await clock.advance(0);
      times.set(registry.version, registry.lastChangedMs);
    }
    expect(times.size).toBeGreaterThanOrEqual(5);
    expect(new Set(times.values()).size).toBe(times.size);
  });

  it("rises once for a batch of changes that nobody looked into", async () => {
    const addresses = Array.from({ length: 100 }, (_, index) => `a:${index + 1}`);
    const { registry, clock, connector } = openWorld(addresses);
    await clock.advance(1000);
    const { version } = registry;
    const versions: number[] = [];
    const following = (async () => {
      for await (const snapshot of registry) versions.push(snapshot.version);
    })();
    await clock.advance(0);
    for (const address of addresses) connector.set(address, "failed");
    await clock.advance(0);
    expect(registry.healthyViews()).toEqual([]);
    await registry[Symbol.asyncDispose]();
    await following;
    expect(versions).toEqual([version, version + 1]);
  });

  it("tells apart what was read in the middle of a batch", async () => {
    const { registry, clock, connector } = openWorld(["a:1", "b:1"]);
    await clock.advance(1000);
    const before = registry.version;
    connector.set("a:1", "failed");
    const between = registry.version;
    connector.set("b:1", "failed");
    const after = registry.version;
    expect(new Set([before, between, after]).size).toBe(3);
  });
});

describe("waiting for a change", () => {
  it("ends at once when it changed already, even with an aborted signal", async () => {
    const { registry, clock } = openWorld(["a:1"]);
    await clock.advance(1000);
    expect(await registry.waitForChange(-1, { signal: AbortSignal.abort() })).toBe(registry.version);
  });

  it("ends with the next change, with the version that it is then", async () => {
    const { registry, clock, connector } = openWorld(["a:1"]);
    await clock.advance(1000);
    const { version } = registry;
    const waiting = watch(registry.waitForChange(version));
    await clock.advance(1000);
    expect(waiting.state()).toBe("pending");
    connector.set("a:1", "failed");
    await clock.advance(0);
    expect(waiting.state()).toBe(`resolved ${version + 1}`);
  });

  it("ends with the signal's reason, before and while it waits, and leaves no listener behind", async () => {
    const { registry, clock } = openWorld([]);
    await clock.advance(0);
    const reason = new Error("enough");
    await expect(registry.waitForChange(0, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const waiting = watch(registry.waitForChange(0, { signal: controller.signal }));
    await clock.advance(0);
    controller.abort(reason);
    await clock.advance(0);
    expect(waiting.error()).toBe(reason);
  });
});

describe("waiting for stability", () => {
  it("does not wait when it is stable already, even if the deadline has passed", async () => {
    const { registry, clock } = openWorld([]);
    await clock.advance(5000);
    await registry.waitForStable(5000, { signal: AbortSignal.abort() });
  });

  it("takes no time for no time", async () => {
    const { registry } = openWorld([]);
    await registry.waitForStable(0, { signal: AbortSignal.abort() });
  });

  it("starts anew with each change", async () => {
    const { registry, clock, locator } = openWorld([]);
    await clock.advance(0);
    const waiting = watch(registry.waitForStable(1000));
    await clock.advance(900);
    locator.set(["a:1"]);
    await clock.advance(900);
    expect(waiting.state()).toBe("pending");
    await clock.advance(200);
    expect(waiting.state()).toBe("resolved undefined");
  });

  it("takes each waiter's own time, with one timer for all of them", async () => {
    const { registry, clock } = openWorld([]);
    await clock.advance(0);
    const timers = clock.timers;
    const waits = Array.from({ length: 50 }, (_, index) => watch(registry.waitForStable(1000 + 10 * index)));
    await clock.advance(0);
    expect(clock.timers).toBeLessThanOrEqual(timers + 1);
    await clock.advance(1204);
    expect(waits.filter(({ state }) => state() !== "pending")).toHaveLength(21);
    await clock.advance(1000);
    expect(waits.filter(({ state }) => state() !== "pending")).toHaveLength(50);
    expect(clock.timers).toBe(timers);
  });

  it("ends with the signal's reason", async () => {
    const { registry, clock } = openWorld([]);
    const controller = new AbortController();
    const reason = new Error("enough");
    const waiting = watch(registry.waitForStable(1000, { signal: controller.signal }));
    await clock.advance(500);
    controller.abort(reason);
    await clock.advance(0);
    expect(waiting.error()).toBe(reason);
  });

  it.each([-1, Number.NaN, "5"])("refuses to wait for %j", async (ms) => {
    const { registry } = openWorld([]);
    await expect(registry.waitForStable(ms as number)).rejects.toMatchObject({ code: "invalid-argument" });
  });
});

describe("a loop over snapshots", () => {
  it("gives what is there first, and only the latest to a slow reader", async () => {
    const { registry, clock, connector } = openWorld(["a:1", "b:1"], { judgement: { damping: false } });
    await clock.advance(1000);
    const snapshots = registry[Symbol.asyncIterator]();
    const first = await snapshots.next();
    expect(first.value?.views.map(({ healthy }) => healthy)).toEqual([true, true]);
    for (let turn = 0; turn < 20; turn++) {
      connector.set("a:1", turn % 2 === 0 ? "failed" : "ready");
      await clock.advance(0);
    }
    connector.set("a:1", "failed");
    await clock.advance(0);
    const second = await snapshots.next();
    expect(second.value?.version).toBe(registry.version);
    expect(second.value?.views).toEqual(registry.allViews());
    const third = watch(snapshots.next());
    await clock.advance(1000);
    expect(third.state()).toBe("pending");
    await snapshots.return?.();
    await clock.advance(0);
    expect(third.state()).toContain("resolved");
  });

  it("gives snapshots that nobody can change", async () => {
    const { registry, clock } = openWorld(["a:1"]);
    await clock.advance(1000);
    for await (const { views } of registry) {
      expect(Object.isFrozen(views)).toBe(true);
      expect(views.every((view) => Object.isFrozen(view))).toBe(true);
      break;
    }
  });
});

describe("a closed registry", () => {
  it("has no views, no connections and no timers, and its waits are over", async () => {
    const { registry, clock, connector } = openWorld(["a:1", "b:1"]);
    await clock.advance(1000);
    const { version } = registry;
    const [view] = registry.allViews();
    const change = watch(registry.waitForChange(version));
    const stable = watch(registry.waitForStable(60_000));
    let loops = 0;
    const loop = (async () => {
      for await (const _ of registry) loops++;
      return loops;
    })();
    await clock.advance(0);
    await registry[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    expect(registry.allViews()).toEqual([]);
    expect(registry.healthyViews()).toEqual([]);
    expect(registry.version).not.toBe(version);
    expect(connector.open).toBe(0);
    expect(clock.timers).toBe(0);
    expect(await loop).toBe(1);
    for (const waiting of [change, stable]) expect(waiting.error()).toMatchObject({ code: "closed" });
    await expect(registry.waitForChange(-1)).rejects.toBeInstanceOf(RegistryError);
    await expect(registry.waitForStable(0)).rejects.toMatchObject({ code: "closed" });
    view?.report("failed");
    expect(view?.weight).toBeGreaterThan(0);
    await clock.advance(60_000);
    expect(registry.dump()).toBe("");
  });

  it("is closed even if the locator does not end when it is told to", async () => {
    const world = openWorld([], {
      locator: { locate: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) }) },
    });
    await world.clock.advance(0);
    const closing = watch(world.registry[Symbol.asyncDispose]());
    await world.clock.advance(2000);
    expect(closing.state()).toBe("resolved undefined");
  });
});
