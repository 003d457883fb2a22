import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Endpoint } from "../../src/endpoint.js";
import { RegistryError } from "../../src/errors.js";
import { checkEndpoint, distinct, maxEndpoints, sameEndpoints } from "../../src/locators/endpoint-set.js";
import { staticLocator } from "../../src/locators/static.js";
import { at, Reader, settled } from "./support.js";

describe("a static locator", { timeout: 60_000 }, () => {
  it("tells its endpoints at once, then each change, to all its readers", async () => {
    const locator = staticLocator([at("a"), at("b")]);
    await using first = new Reader(locator);
    await settled();
    locator.set([at("b"), at("c")]);
    await settled();
    await using second = new Reader(locator);
    await settled();
    expect(first.told).toEqual(["a:1 b:1", "b:1 c:1"]);
    expect(second.told).toEqual(["b:1 c:1"]);
  });

  it("is empty without endpoints, and says so", async () => {
    await using reader = new Reader(staticLocator());
    await settled();
    expect(reader.told).toEqual([""]);
  });

  it("counts its versions from 1, one for each real change", () => {
    const locator = staticLocator([at("a"), at("b")]);
    expect(locator.version).toBe(1);
    locator.set([at("c")]);
    expect(locator.version).toBe(2);
    locator.set([]);
    expect(locator.version).toBe(3);
  });

  it("takes the same set in another order, or with duplicates, for no change", async () => {
    const locator = staticLocator([at("a", 1, { zone: "x", rack: "1" }), at("b")]);
    await using reader = new Reader(locator);
    await settled();
    locator.set([at("b"), at("a", 1, { rack: "1", zone: "x" })]);
    locator.set([
      at("b"),
      at("b"),
      at("a", 1, { zone: "old" }),
      at("a", 1, { zone: "x", rack: "1" }),
      at("b"),
    ]);
    await settled();
    expect(locator.version).toBe(1);
    expect(reader.told).toHaveLength(1);
  });

  it("takes another label for a change, and of duplicates the last one's labels", async () => {
    const locator = staticLocator([at("a", 1, { zone: "x" })]);
    locator.set([at("a", 1, { zone: "y" })]);
    expect(locator.version).toBe(2);
    locator.set([at("a", 1, { zone: "z" }), at("a")]);
    expect(locator.version).toBe(3);
    expect(locator.endpoints).toEqual([at("a")]);
  });

  it("keeps what it had when it is given something bad", () => {
    const locator = staticLocator([at("a")]);
    expect(() => locator.set([at("b"), at("not a host")])).toThrow(RegistryError);
    expect(() => locator.set([at("b"), at("c", 65_536)])).toThrow(/from 1 to 65535, not 65536/);
    expect(locator.endpoints).toEqual([at("a")]);
    expect(locator.version).toBe(1);
  });

  it("keeps a copy: what the caller does to his objects afterwards changes nothing", () => {
    const labels = { zone: "x" };
    const endpoint = { host: "a", port: 1, labels };
    const list = [endpoint];
    const locator = staticLocator(list);
    labels.zone = "y";
    endpoint.port = 2;
    list.pop();
    expect(locator.endpoints).toEqual([at("a", 1, { zone: "x" })]);
    expect(Object.isFrozen(locator.endpoints) && Object.isFrozen(locator.endpoints[0]?.labels)).toBe(true);
  });

  it("refuses a list that is none, or longer than any cluster", () => {
    expect(() => staticLocator(null as unknown as [])).toThrow(/endpoints are a list, not null/);
    expect(() => staticLocator("a:1" as unknown as [])).toThrow(/endpoints are a list/);
    const many = Array.from({ length: maxEndpoints + 1 }, (_, index) => at(`h${index}`));
    expect(() => staticLocator(many)).toThrow(/at most 100000 endpoints/);
  });
});

describe("an endpoint from outside", { timeout: 60_000 }, () => {
  it.each([
    ["a name", "buffer-1.example"],
    ["a name with a dot behind it", "buffer-1.example."],
    ["a name with an underscore", "_a_.example"],
    ["a name in another script", "bücher.example"],
    ["IPv4", "10.0.0.7"],
    ["IPv6", "2001:db8::1"],
    ["IPv6 with IPv4 in it", "::ffff:10.0.0.7"],
  ])("may have as its host %s", (_, host) => {
    expect(checkEndpoint({ host, port: 1 })).toEqual({ host, port: 1 });
  });

  it.each([
    [undefined],
    [""],
    [7],
    ["a b"],
    ["a/b"],
    ["/run/kv.sock"],
    ["unix:/run/kv.sock"],
    ["unix:///run/kv.sock"],
    ["a:b"],
    ["user@a"],
    ["a,b"],
    ["[::1]"],
    ["fe80::1%eth0"],
    ["::1::2"],
    ["10.0.0.256"],
    ["1.2.3"],
    ["127.1"],
    ["a\0b"],
    ["a\nb"],
    ["-a"],
    [".a"],
    ["h".repeat(254)],
    [{ toString: () => "a" }],
  ])("may not have as its host %j", (host) => {
    expect(() => checkEndpoint({ host, port: 1 })).toThrow(/a host is a name, an IPv4 address/);
  });

  it.each([[undefined], [0], [-1], [1.5], [65_536], [Number.NaN], ["80"], [1n]])(
    "may not have port %s",
    (port) => {
      expect(() => checkEndpoint({ host: "a", port })).toThrow(/must be a whole number from 1 to 65535/);
    },
  );

  it.each([
    [["zone"], /must be an object of strings, not an array/],
    ["zone", /must be an object of strings/],
    [{ zone: 1 }, /label "zone" of "a" must be a string/],
    [{ zone: "x".repeat(4097) }, /at most 4096 characters/],
    [{ "": "x" }, /a label's name has 1 to 256/],
    [{ ["n".repeat(257)]: "x" }, /a label's name has 1 to 256/],
    [Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`l${index}`, ""])), /at most 64 labels/],
  ])("may not have labels like case %#", (labels, message) => {
    expect(() => checkEndpoint({ host: "a", port: 1, labels })).toThrow(message);
  });

  it("may have labels named like what every object has, which are then labels and nothing else", () => {
    const text = '{"host":"a","port":1,"labels":{"__proto__":"p","constructor":"c","hasOwnProperty":"h"}}';
    const { labels } = checkEndpoint(JSON.parse(text));
    expect(Object.entries(labels ?? {})).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
      ["hasOwnProperty", "h"],
    ]);
    expect(checkEndpoint({ host: "a", port: 1, labels: {} }).labels?.toString).toBeUndefined();
    expect(({} as { p?: string }).p).toBeUndefined();
  });

  it("loses everything that is no part of an endpoint", () => {
    expect(
      Object.keys(checkEndpoint(JSON.parse('{"host":"a","port":1,"__proto__":{"x":1},"extra":2}'))),
    ).toEqual(["host", "port"]);
  });
});

describe("sets of endpoints", { timeout: 60_000 }, () => {
  const endpoints: fc.Arbitrary<Endpoint[]> = fc.array(
    fc.record({
      host: fc.constantFrom("a", "b", "::1"),
      port: fc.integer({ min: 1, max: 3 }),
      labels: fc.dictionary(fc.constantFrom("zone", "__proto__", "v"), fc.constantFrom("x", "y"), {
        noNullPrototype: false,
      }),
    }),
  );
  const model = (list: readonly Endpoint[]): string => {
    const byAddress = new Map<string, string>();
    for (const { host, port, labels } of list)
      byAddress.set(`${host} ${port}`, JSON.stringify(Object.entries(labels ?? {}).sort()));
    return JSON.stringify([...byAddress].sort());
  };

  it("are the same exactly when a map of addresses to labels is", () => {
    fc.assert(
      fc.property(endpoints, endpoints, (a, b) => {
        const [checkedA, checkedB] = [a, b].map((list) => distinct(list.map(checkEndpoint))) as [
          Endpoint[],
          Endpoint[],
        ];
        expect(sameEndpoints(checkedA, checkedB)).toBe(model(a) === model(b));
      }),
      { numRuns: 2000 },
    );
  });

  it("are the same in any order, and with every endpoint twice", () => {
    fc.assert(
      fc.property(endpoints, fc.infiniteStream(fc.nat()), (list, keys) => {
        const unique = distinct(list.map(checkEndpoint));
        const shuffled = unique
          .flatMap((endpoint) => [endpoint, endpoint])
          .map((endpoint) => ({ endpoint, key: keys.next().value }))
          .sort((a, b) => a.key - b.key)
          .map(({ endpoint }) => endpoint);
        expect(sameEndpoints(unique, distinct(shuffled))).toBe(true);
      }),
    );
  });
});
