import { beforeEach, describe, expect, it } from "vitest";
import type { Locator } from "../../src/locator.js";
import { dnsLocator, type SrvLocatorOptions, srvLocator } from "../../src/locators/dns.js";
import { keepLocating } from "../../src/locators/keep-locating.js";
import { a, FakeResolver, servfail } from "./fake-resolver.js";
import { FakeClock, Reader } from "./support.js";

let clock: FakeClock;
let dns: FakeResolver;

beforeEach(() => {
  clock = new FakeClock();
  dns = new FakeResolver();
  dns.srv.set("_kv._tcp.example", [{ name: "kv.example", port: 9000, priority: 0, weight: 0 }]);
  dns.v4.set("kv.example", [a("10.0.0.1"), a("10.0.0.2")]);
});

const both = "10.0.0.1:9000 10.0.0.2:9000";
type More = Partial<Omit<SrvLocatorOptions, "name">>;
const byName = (more: More = {}): Locator =>
  dnsLocator({ name: "kv.example", port: 9000, resolver: dns, clock, random: () => 0, ...more });
const bySrv = (more: More = {}): Locator =>
  srvLocator({ name: "_kv._tcp.example", resolver: dns, clock, random: () => 0, ...more });

const outage = (): void => {
  dns.v4.set("kv.example", servfail);
  dns.v6.set("kv.example", servfail);
  dns.srv.set("_kv._tcp.example", servfail);
};
const nothing = (): void => {
  for (const answers of [dns.v4, dns.v6, dns.srv]) answers.clear();
};

describe.each([
  ["by name", byName],
  ["by SRV name", bySrv],
] as const)("a locator %s, after an outage of DNS,", (_, locatorOf) => {
  /** Reads it as a registry does: again when it throws. */
  const readOver = async (located: Locator): Promise<Reader> => {
    const reader = new Reader(keepLocating(located, { clock, random: () => 0 }));
    await clock.advance(0);
    expect(reader.told).toEqual([both]);
    outage();
    await clock.advance(60_000);
    expect(reader.told).toEqual([both]);
    return reader;
  };

  it("keeps what it had before it when DNS then says that there is nothing", async () => {
    await using reader = await readOver(locatorOf());
    nothing();
    await clock.advance(60_000);
    expect([...new Set(reader.told)]).toEqual([both]);
  });

  it("keeps it over several outages, and follows what comes then", async () => {
    await using reader = await readOver(locatorOf());
    for (const trouble of [nothing, outage, nothing, outage, nothing]) {
      trouble();
      await clock.advance(60_000);
    }
    expect([...new Set(reader.told)]).toEqual([both]);
    dns.srv.set("_kv._tcp.example", [{ name: "kv.example", port: 9000, priority: 0, weight: 0 }]);
    dns.v4.set("kv.example", [a("10.0.0.3")]);
    await clock.advance(60_000);
    expect(reader.last).toBe("10.0.0.3:9000");
  });

  it("tells it to who begins to read then", async () => {
    const located = locatorOf();
    await using _first = await readOver(located);
    nothing();
    await using second = new Reader(located);
    await clock.advance(60_000);
    expect(second.told).toEqual([both]);
  });

  it("is empty when DNS says so, if that is wished", async () => {
    await using reader = await readOver(locatorOf({ whenNone: "empty" }));
    nothing();
    await clock.advance(60_000);
    expect(reader.last).toBe("");
  });

  it("is empty when it never had anything", async () => {
    outage();
    await using reader = new Reader(keepLocating(locatorOf(), { clock, random: () => 0 }));
    await clock.advance(60_000);
    expect(reader.told).toEqual([]);
    nothing();
    await clock.advance(60_000);
    expect([...new Set(reader.told)]).toEqual([""]);
  });
});
