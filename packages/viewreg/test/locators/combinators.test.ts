import { describe, expect, it } from "vitest";
import type { Endpoint } from "../../src/endpoint.js";
import { RegistryError } from "../../src/errors.js";
import type { Locator } from "../../src/locator.js";
import { firstNonempty } from "../../src/locators/first-nonempty.js";
import { keepLocating } from "../../src/locators/keep-locating.js";
import { staticLocator } from "../../src/locators/static.js";
import { exclude, filter, map } from "../../src/locators/transform.js";
import { union } from "../../src/locators/union.js";
import { at, errorOf, FakeClock, Reader, settled } from "./support.js";

/** Each call of `locate` yields the next of these lists of sets, then throws. */
function failing(...lives: readonly (readonly Endpoint[])[][]): Locator & { readonly calls: number } {
  let calls = 0;
  return {
    get calls() {
      return calls;
    },
    async *locate() {
      const life = lives[calls++] ?? [];
      yield* life;
      throw new Error(`failure ${calls}`);
    },
  };
}

const ending: Locator = {
  async *locate() {
    yield [at("a")];
  },
};

/** Says nothing, ever, and counts who listens. */
function silent(): Locator & { open: number } {
  return {
    open: 0,
    async *locate({ signal }) {
      this.open++;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      this.open--;
    },
  };
}

const options = (clock: FakeClock) => ({ clock, random: () => 1 });

describe("a locator that is kept up", () => {
  it("is asked again 100 ms after it failed, then after twice as long each time, up to 10 s", async () => {
    const clock = new FakeClock();
    const locator = failing();
    const errors: unknown[] = [];
    await using reader = new Reader(
      keepLocating(locator, { ...options(clock), onError: (error) => errors.push(error) }),
    );
    for (const ms of [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]) {
      await clock.advance(ms - 1);
      const before = locator.calls;
      await clock.advance(1);
      expect(locator.calls).toBe(before + 1);
    }
    expect(errors).toHaveLength(10);
    expect(reader.ended).toBe(false);
  });

  it("is asked soon again after it had worked in between", async () => {
    const clock = new FakeClock();
    const locator = failing([], [], [], [[at("a")]], [[at("b")]]);
    await using reader = new Reader(keepLocating(locator, options(clock)));
    await clock.advance(700);
    expect(reader.told).toEqual(["a:1"]);
    await clock.advance(100);
    expect(reader.told).toEqual(["a:1", "b:1"]);
  });

  it("has failed too when it ends without being told to", async () => {
    const clock = new FakeClock();
    const errors: unknown[] = [];
    await using reader = new Reader(
      keepLocating(ending, { ...options(clock), onError: (error) => errors.push(error) }),
    );
    await clock.advance(100);
    expect(reader.told).toEqual(["a:1", "a:1"]);
    expect(errors[0]).toMatchObject({ code: "unavailable", message: "the locator ended by itself" });
  });

  it("ends in the middle of a pause, and leaves no timer", async () => {
    const clock = new FakeClock();
    const reader = new Reader(keepLocating(failing(), options(clock)));
    await settled();
    expect(clock.timers).toBe(1);
    await reader.end();
    expect(reader.error).toBeUndefined();
    expect(clock.timers).toBe(0);
  });
});

describe("a union", () => {
  it("has every endpoint of every source once, with the labels of the last source", async () => {
    await using reader = new Reader(
      union([
        staticLocator([at("a", 1, { zone: "x" }), at("b")]),
        staticLocator([at("c"), at("a", 1, { zone: "y" })]),
      ]),
    );
    await settled();
    expect(reader.last).toBe("a:1 b:1 c:1");
    expect(reader.sets.at(-1)?.find(({ host }) => host === "a")?.labels).toEqual({ zone: "y" });
  });

  it("follows all its sources, and is silent when one changes what another has too", async () => {
    const [one, two] = [staticLocator([at("a")]), staticLocator([at("a"), at("b")])];
    await using reader = new Reader(union([one, two]));
    await settled();
    const before = reader.told.length;
    one.set([]);
    await settled();
    expect(reader.told).toHaveLength(before);
    two.set([at("b")]);
    await settled();
    expect(reader.told.slice(before)).toEqual(["b:1"]);
  });

  it("yields as soon as one source has, whatever the others wait for", async () => {
    await using reader = new Reader(union([silent(), staticLocator([at("a")])]));
    await settled();
    expect(reader.told).toEqual(["a:1"]);
  });

  it("keeps the endpoints of a source that fails or has none, and asks the one that failed again", async () => {
    const clock = new FakeClock();
    const errors: [unknown, number][] = [];
    const broken = failing([[at("a")]], [], [[at("c")]]);
    const onError = (error: unknown, source: number): void => void errors.push([error, source]);
    await using reader = new Reader(
      union([staticLocator([]), broken, staticLocator([at("b")])], { ...options(clock), onError }),
    );
    await settled();
    expect(reader.last).toBe("a:1 b:1");
    await clock.advance(100);
    expect(reader.last).toBe("a:1 b:1");
    await clock.advance(200);
    expect(reader.last).toBe("b:1 c:1");
    expect(errors).toEqual([
      [new Error("failure 1"), 1],
      [new Error("failure 2"), 1],
      [new Error("failure 3"), 1],
    ]);
    expect(reader.ended).toBe(false);
  });

  it("throws when all its sources failed before any of them told anything, with each one's cause", async () => {
    const clock = new FakeClock();
    const reader = new Reader(union([failing(), failing()], options(clock)));
    await reader.done();
    expect(reader.error).toBeInstanceOf(RegistryError);
    expect(reader.error).toMatchObject({
      code: "unavailable",
      message: "no source knows any endpoints (source 0: failure 1; source 1: failure 1)",
      cause: { errors: [new Error("failure 1"), new Error("failure 1")] },
    });
    expect(clock.timers).toBe(0);
  });

  it("without sources is empty and stays so", async () => {
    await using reader = new Reader(union([]));
    await settled();
    expect([reader.told, reader.ended]).toEqual([[""], false]);
  });

  it("leaves all its sources when it is left", async () => {
    const sources = [silent(), silent()];
    const reader = new Reader(union(sources));
    await settled();
    expect(sources.map(({ open }) => open)).toEqual([1, 1]);
    await reader.end();
    expect(sources.map(({ open }) => open)).toEqual([0, 0]);
  });

  it("tells a slow reader the latest only", async () => {
    const source = staticLocator([at("a")]);
    const reader = union([source]).locate({ signal: new AbortController().signal })[Symbol.asyncIterator]();
    await reader.next();
    for (let port = 1; port <= 100; port++) {
      source.set([at("a", port)]);
      await Promise.resolve();
    }
    await settled();
    expect((await reader.next()).value).toEqual([at("a", 100)]);
    await reader.return?.();
  });
});

describe("filter, map and exclude", () => {
  it("filter tells what is left, and is silent when that did not change", async () => {
    const source = staticLocator([at("a", 1, { zone: "x" }), at("b", 1, { zone: "y" })]);
    await using reader = new Reader(filter(source, ({ labels }) => labels?.zone === "x"));
    await settled();
    source.set([at("a", 1, { zone: "x" }), at("c", 1, { zone: "y" })]);
    await settled();
    source.set([at("a", 1, { zone: "y" })]);
    await settled();
    expect(reader.told).toEqual(["a:1", ""]);
  });

  it("map changes endpoints, and makes one of two that become the same", async () => {
    await using reader = new Reader(map(staticLocator([at("a", 1), at("a", 2)]), ({ host }) => at(host, 9)));
    await settled();
    expect(reader.sets).toEqual([[at("a", 9)]]);
  });

  it("map refuses what is no endpoint, and both pass on what the function throws", async () => {
    const source = staticLocator([at("a")]);
    const bad = new Reader(map(source, () => at("a", 0)));
    await bad.done();
    expect(bad.error).toMatchObject({ code: "invalid-endpoint" });
    const broken = new Error("the predicate broke");
    const thrown = new Reader(
      filter(source, () => {
        throw broken;
      }),
    );
    await thrown.done();
    expect(thrown.error).toBe(broken);
  });

  it("exclude leaves out a server itself, by host and port, whatever its labels", async () => {
    const source = staticLocator([at("a", 1, { zone: "x" }), at("a", 2), at("::1", 1)]);
    await using one = new Reader(exclude(source, at("a", 1)));
    await using two = new Reader(exclude(source, [at("a", 1), at("::1", 1)]));
    await settled();
    expect([one.told, two.told]).toEqual([["[::1]:1 a:2"], ["a:2"]]);
    expect(() => exclude(source, at("a", 0))).toThrow(RegistryError);
  });

  it("pass on that the source failed", async () => {
    const reader = new Reader(filter(failing([[at("a")]]), () => true));
    await reader.done();
    expect([reader.told, reader.error]).toEqual([["a:1"], new Error("failure 1")]);
  });
});

describe("firstNonempty", () => {
  it("gives what is there, or waits until there is something", async () => {
    expect(await firstNonempty(staticLocator([at("a")]))).toEqual([at("a")]);
    const source = staticLocator();
    const found = firstNonempty(source, { signal: new AbortController().signal });
    await settled();
    source.set([at("b")]);
    expect(await found).toEqual([at("b")]);
  });

  it("goes on waiting when the locator fails", async () => {
    const clock = new FakeClock();
    const errors: unknown[] = [];
    const found = firstNonempty(failing([], [[]], [[], [at("a")]]), {
      ...options(clock),
      onError: (error) => errors.push(error),
    });
    await clock.advance(1000);
    expect(await found).toEqual([at("a")]);
    expect(errors).toEqual([new Error("failure 1"), new Error("failure 2")]);
  });

  it("rejects with the signal's own reason, before and while it waits, and leaves the locator", async () => {
    const reason = { enough: true };
    const source = silent();
    expect(await errorOf(firstNonempty(source, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    const controller = new AbortController();
    const found = firstNonempty(source, { signal: controller.signal });
    await settled();
    expect(source.open).toBe(1);
    controller.abort(reason);
    expect(await errorOf(found)).toBe(reason);
    expect(source.open).toBe(0);
  });
});
