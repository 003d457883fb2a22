import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JournalError, type Route, RouteCache } from "../src/index.js";
import { StillClock } from "./append-support.js";

const routeOf = (id: string): Route => ({
  members: [{ zone: id, suffix: id }],
  primary: 0,
  endpoints: [`http://${id}:80`],
});
const nothing: Route = { members: [], primary: -1, endpoints: [] };

describe("RouteCache", () => {
  it("gives the routes it was told, and an empty one for what it does not know", () => {
    const cache = new RouteCache({ size: 3, ttlMs: 60_000, clock: new StillClock() });
    cache.updateRoute("a/journal", routeOf("a"));
    expect(cache.route("a/journal")).toEqual(routeOf("a"));
    expect(cache.route("b/journal")).toEqual(nothing);
    expect(cache.isNoopRouter).toBe(false);
  });

  it("drops the journal that was not used for longest when it is full", () => {
    const cache = new RouteCache({ size: 3, ttlMs: 60_000, clock: new StillClock() });
    for (const name of ["A", "B", "C", "D"]) cache.updateRoute(name, routeOf(name));
    expect(cache.size).toBe(3);
    expect(cache.route("A")).toEqual(nothing);
    cache.route("B");
    cache.updateRoute("E", routeOf("E"));
    expect(cache.route("B")).toEqual(routeOf("B"));
    expect(cache.route("C")).toEqual(nothing);
  });

  it("takes away what is updated with nothing, or with an empty route", () => {
    const cache = new RouteCache({ size: 3, ttlMs: 60_000, clock: new StillClock() });
    for (const empty of [undefined, nothing]) {
      cache.updateRoute("C", routeOf("C"));
      cache.updateRoute("C", empty);
      expect(cache.route("C")).toEqual(nothing);
      expect(cache.size).toBe(0);
    }
  });

  it("forgets a route when its time has passed since it was last told, not since it was asked for", () => {
    const clock = new StillClock();
    const cache = new RouteCache({ size: 3, ttlMs: 60_000, clock });
    cache.updateRoute("B", routeOf("old"));
    cache.updateRoute("D", routeOf("D"));
    clock.advance(31_000);
    cache.updateRoute("B", routeOf("B"));
    expect(cache.route("D")).toEqual(routeOf("D"));
    clock.advance(30_000);
    expect(cache.route("B")).toEqual(routeOf("B"));
    expect(cache.route("D")).toEqual(nothing);
    expect(cache.size).toBe(1);
  });

  it("keeps one route for a journal, whatever its ;meta", () => {
    const cache = new RouteCache({ size: 3, ttlMs: 60_000 });
    cache.updateRoute("a/journal;by/reader", routeOf("a"));
    expect(cache.route("a/journal;else")).toEqual(routeOf("a"));
    cache.updateRoute("a/journal", undefined);
    expect(cache.route("a/journal;by/reader")).toEqual(nothing);
  });

  it("is not changed by who changes a route that was given to it", () => {
    const cache = new RouteCache({ size: 3, ttlMs: 60_000 });
    const members = [{ zone: "a", suffix: "a" }];
    cache.updateRoute("a/journal", { members, primary: 0, endpoints: ["http://a:1"] });
    members.length = 0;
    expect(cache.route("a/journal").members).toEqual([{ zone: "a", suffix: "a" }]);
  });

  it("refuses sizes and times that are not above 0", () => {
    for (const [size, ttlMs] of [
      [0, 1],
      [1.5, 1],
      [-1, 1],
      [1, 0],
      [1, Number.NaN],
    ] as const) {
      expect(() => new RouteCache({ size, ttlMs })).toThrow(JournalError);
    }
  });

  it("holds the last used routes, as a list that is searched from its end would", () => {
    const command = fc.tuple(fc.constantFrom("put", "get", "drop"), fc.constantFrom(..."abcdefg"));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(command, { maxLength: 60 }), (size, commands) => {
        const cache = new RouteCache({ size, ttlMs: 1, clock: new StillClock() });
        let oracle: string[] = [];
        for (const [verb, key] of commands) {
          const known = oracle.includes(key);
          oracle = oracle.filter((other) => other !== key);
          if (verb === "put") {
            cache.updateRoute(key, routeOf(key));
            oracle.push(key);
          } else if (verb === "get") {
            expect(cache.route(key).members.length).toBe(known ? 1 : 0);
            if (known) oracle.push(key);
          } else {
            cache.updateRoute(key, undefined);
          }
          oracle = oracle.slice(-size);
        }
        expect(cache.size).toBe(oracle.length);
        expect(oracle.every((key) => cache.route(key).members.length === 1)).toBe(true);
      }),
    );
  });
});
