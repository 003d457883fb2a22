import { beforeEach, describe, expect, it } from "vitest";
import {
  type DnsLocatorOptions,
  type DnsResolver,
  type DnsService,
  dnsLocator,
  type SrvLocatorOptions,
  srvLocator,
} from "../../src/locators/dns.js";
import { systemDnsResolver } from "../../src/locators/system-dns.js";
import { DnsServer } from "./dns-server.js";
import { a, FakeResolver, hangs, servfail } from "./fake-resolver.js";
import { at, errorOf, FakeClock, Reader, settled, until } from "./support.js";

let clock: FakeClock;
let dns: FakeResolver;

beforeEach(() => {
  clock = new FakeClock();
  dns = new FakeResolver();
});

const ports = () => ({ resolver: dns, clock, random: () => 0 });
const locator = (options: Partial<DnsLocatorOptions> = {}) =>
  dnsLocator({ name: "kv.example", port: 9000, ...ports(), ...options });
const services = (options: Partial<SrvLocatorOptions> = {}) =>
  srvLocator({ name: "_kv._tcp.example", ...ports(), ...options });
/** `settled` once is not enough for a resolver that takes its time. */
const resolved = () => clock.advance(0).then(settled);

describe("a locator by DNS name", { timeout: 60_000 }, () => {
  it("has all addresses of both families", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1"), a("10.0.0.2"), a("10.0.0.1")]);
    dns.v6.set("kv.example", [a("2001:db8::1")]);
    await using reader = new Reader(locator());
    await resolved();
    expect(reader.told).toEqual(["10.0.0.1:9000 10.0.0.2:9000 [2001:db8::1]:9000"]);
    await using only = new Reader(locator({ families: [4] }));
    await resolved();
    expect(only.told).toEqual(["10.0.0.1:9000 10.0.0.2:9000"]);
  });

  it("asks again when the shortest TTL has ended, not before, and tells only changes", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1", 30), a("10.0.0.2", 10)]);
    await using reader = new Reader(locator({ families: [4] }));
    await resolved();
    await clock.advance(9_999);
    expect(dns.asked).toBe(1);
    await clock.advance(1);
    expect(dns.asked).toBe(2);
    dns.v4.set("kv.example", [a("10.0.0.3")]);
    await clock.advance(10_000);
    expect(reader.told).toEqual(["10.0.0.1:9000 10.0.0.2:9000", "10.0.0.3:9000"]);
  });

  it.each([
    [0, 1_000],
    [Number.NaN, 1_000],
    [-1, 1_000],
    [60, 60_000],
    [2 ** 31, 300_000],
  ])("believes a TTL of %s s for %s ms", async (ttl, ms) => {
    dns.v4.set("kv.example", [a("10.0.0.1", ttl)]);
    await using _ = new Reader(locator({ families: [4] }));
    await resolved();
    await clock.advance(ms - 1);
    expect(dns.asked).toBe(1);
    await clock.advance(1);
    expect(dns.asked).toBe(2);
  });

  it("asks up to a tenth of the TTL later, as chance has it", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1", 100)]);
    await using _ = new Reader(locator({ families: [4], random: () => 0.5 }));
    await resolved();
    await clock.advance(104_999);
    expect(dns.asked).toBe(1);
    await clock.advance(1);
    expect(dns.asked).toBe(2);
  });

  it("keeps what it had when DNS says that there is nothing, and asks again after 1 s, doubling up to 30 s", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1", 300)]);
    await using reader = new Reader(locator({ families: [4], random: () => 1, jitter: 0 }));
    await resolved();
    dns.v4.set("kv.example", []);
    await clock.advance(300_000);
    for (const ms of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
      const before = dns.asked;
      await clock.advance(ms - 1);
      expect(dns.asked).toBe(before);
      await clock.advance(1);
      expect(dns.asked).toBe(before + 1);
    }
    dns.v4.set("kv.example", [a("10.0.0.2")]);
    await clock.advance(30_000);
    expect(reader.told).toEqual(["10.0.0.1:9000", "10.0.0.2:9000"]);
  });

  it("is empty when DNS says so, if that is wished", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1")]);
    await using reader = new Reader(locator({ whenNone: "empty" }));
    await resolved();
    dns.v4.clear();
    await clock.advance(10_000);
    expect(reader.told).toEqual(["10.0.0.1:9000", ""]);
  });

  it("is empty at first when DNS knows nothing", async () => {
    await using reader = new Reader(locator());
    await resolved();
    expect(reader.told).toEqual([""]);
    dns.v4.set("kv.example", [a("10.0.0.1")]);
    await clock.advance(1_000);
    expect(reader.last).toBe("10.0.0.1:9000");
  });

  it("keeps the addresses of the family whose question fails or hangs, and follows the other one", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1")]);
    dns.v6.set("kv.example", [a("2001:db8::1")]);
    await using reader = new Reader(locator());
    await resolved();
    for (const [index, trouble] of [servfail, hangs].entries() as unknown as [number, Error | "hangs"][]) {
      dns.v6.set("kv.example", trouble);
      dns.v4.set("kv.example", [a(`10.0.0.${index + 2}`)]);
      await clock.advance(20_000);
      expect(reader.last).toBe(`10.0.0.${index + 2}:9000 [2001:db8::1]:9000`);
    }
    expect(reader.ended).toBe(false);
  });

  it("throws when no question is answered, and remembers over that what it knew of the family that still fails", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1")]);
    dns.v6.set("kv.example", [a("2001:db8::1")]);
    const located = locator();
    const first = new Reader(located);
    await resolved();
    dns.v4.set("kv.example", servfail);
    dns.v6.set("kv.example", servfail);
    await clock.advance(10_000);
    await first.done();
    expect(first.error).toMatchObject({
      code: "unavailable",
      message: 'DNS did not answer for "kv.example": SERVFAIL; SERVFAIL',
      cause: { errors: [servfail, servfail] },
    });
    dns.v4.set("kv.example", [a("10.0.0.2")]);
    await using second = new Reader(located);
    await resolved();
    expect(second.told).toEqual(["10.0.0.2:9000 [2001:db8::1]:9000"]);
  });

  it("gives up a question that hangs after its time, and ends at once when it is left", async () => {
    dns.v4.set("kv.example", hangs);
    const reader = new Reader(locator({ families: [4], timeoutMs: 700 }));
    await clock.advance(699);
    expect(reader.ended).toBe(false);
    await clock.advance(1);
    expect(reader.error).toMatchObject({ code: "unavailable", message: /no answer within 700 ms/ });
    const left = new Reader(locator());
    await resolved();
    await left.end();
    expect([left.error, clock.timers]).toEqual([undefined, 0]);
  });

  it("leaves out what is no address", async () => {
    dns.v4.set("kv.example", [a("10.0.0.1"), a("10.0.0.256"), a(""), a("a b"), a(7 as unknown as string)]);
    await using reader = new Reader(locator());
    await resolved();
    expect(reader.told).toEqual(["10.0.0.1:9000"]);
  });

  it.each<[Partial<DnsLocatorOptions>]>([
    [{ name: "" }],
    [{ name: "a b" }],
    [{ port: 0 }],
    [{ minTtlMs: 0 }],
    [{ maxTtlMs: 10 }],
    [{ jitter: 2 }],
    [{ timeoutMs: Number.NaN }],
    [{ families: [] }],
    [{ families: [5 as 4] }],
  ])("refuses options like %j", (options) => {
    expect(() => locator(options)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^invalid-/) }),
    );
  });
});

describe("a locator by SRV name", { timeout: 60_000 }, () => {
  const srv = (name: string, port: number, priority = 0, weight = 0): DnsService => ({
    name,
    port,
    priority,
    weight,
  });

  it("has the addresses of all targets, labelled with target, priority and weight", async () => {
    dns.srv.set("_kv._tcp.example", [srv("one.example", 9001, 10, 60), srv("two.example", 9002, 20, 5)]);
    dns.v4.set("one.example", [a("10.0.0.1"), a("10.0.0.2")]);
    dns.v6.set("two.example", [a("2001:db8::2")]);
    await using reader = new Reader(services());
    await clock.advance(0);
    await until(() => reader.told.length > 0);
    expect(reader.told).toEqual(["10.0.0.1:9001 10.0.0.2:9001 [2001:db8::2]:9002"]);
    expect(reader.sets[0]).toContainEqual(
      at("10.0.0.1", 9001, { target: "one.example", priority: "10", weight: "60" }),
    );
    expect(reader.sets[0]).toContainEqual(
      at("2001:db8::2", 9002, { target: "two.example", priority: "20", weight: "5" }),
    );
  });

  it("labels an address that several records give with the most preferred of them", async () => {
    dns.srv.set("_kv._tcp.example", [
      srv("b.example", 1, 5, 1),
      srv("c.example", 1, 5, 9),
      srv("a.example", 1, 9, 99),
    ]);
    for (const name of ["a.example", "b.example", "c.example"]) dns.v4.set(name, [a("10.0.0.1")]);
    await using reader = new Reader(services());
    await until(() => reader.told.length > 0);
    expect(reader.sets[0]).toEqual([at("10.0.0.1", 1, { target: "c.example", priority: "5", weight: "9" })]);
  });

  it("is asked again when the shorter of the addresses' TTL and the one for SRV records has ended", async () => {
    dns.srv.set("_kv._tcp.example", [srv("one.example", 1)]);
    dns.v4.set("one.example", [a("10.0.0.1", 100)]);
    await using first = new Reader(services({ families: [4] }));
    await until(() => first.told.length > 0);
    await clock.advance(29_999);
    expect(dns.asked).toBe(2);
    await clock.advance(1);
    expect(dns.asked).toBe(4);
    await first.end();

    dns.srv.set("_kv._tcp.example", [{ ...srv("one.example", 1), ttlSeconds: 5 }]);
    await using second = new Reader(services({ families: [4] }));
    await until(() => second.told.length > 0);
    const before = dns.asked;
    await clock.advance(5_000);
    expect(dns.asked).toBe(before + 2);
  });

  it("has nothing when the record says that there is no such service", async () => {
    for (const root of [".", ""]) {
      dns.srv.set("_kv._tcp.example", [srv(root, 0)]);
      await using reader = new Reader(services());
      await until(() => reader.told.length > 0);
      expect(reader.told).toEqual([""]);
    }
  });

  it("keeps the addresses of a target whose questions fail, and forgets those of a target that is gone", async () => {
    dns.srv.set("_kv._tcp.example", [srv("one.example", 1), srv("two.example", 2)]);
    dns.v4.set("one.example", [a("10.0.0.1")]);
    dns.v4.set("two.example", [a("10.0.0.2")]);
    await using reader = new Reader(services({ families: [4] }));
    await until(() => reader.told.length > 0);
    dns.v4.set("one.example", servfail);
    dns.v4.set("two.example", [a("10.0.0.3")]);
    await clock.advance(10_000);
    expect(reader.last).toBe("10.0.0.1:1 10.0.0.3:2");
    dns.srv.set("_kv._tcp.example", [srv("two.example", 2)]);
    await clock.advance(10_000);
    expect(reader.last).toBe("10.0.0.3:2");
  });

  it("throws when the SRV question itself is not answered", async () => {
    dns.srv.set("_kv._tcp.example", servfail);
    const reader = new Reader(services());
    await reader.done();
    expect(reader.error).toMatchObject({ code: "unavailable", cause: servfail });
  });

  it("asks a thousand targets, a few at a time", async () => {
    const targets = Array.from({ length: 1000 }, (_, index) => srv(`t${index}.example`, 1));
    dns.srv.set("_kv._tcp.example", targets);
    for (const [index, { name }] of targets.entries())
      dns.v4.set(name, [a(`10.0.${index >> 8}.${index & 255}`)]);
    await using reader = new Reader(services({ families: [4] }));
    await until(() => reader.told.length > 0);
    expect(reader.sets[0]).toHaveLength(1000);
    expect(dns.mostAtOnce).toBe(16);
  });
});

describe("with Node's resolver and a real DNS server", { timeout: 60_000 }, () => {
  const resolverOf = (server: DnsServer): DnsResolver =>
    systemDnsResolver({ servers: [server.address], timeoutMs: 1_000, tries: 2 });

  it("reads A and AAAA records with their TTL, and SRV records", async () => {
    await using server = await DnsServer.start();
    server.zone.set("A kv.example", [
      { address: "10.0.0.1", ttl: 7 },
      { address: "10.0.0.2", ttl: 9 },
    ]);
    server.zone.set("AAAA kv.example", [{ address: "2001:db8::1", ttl: 300 }]);
    server.zone.set("SRV _kv._tcp.example", [
      { priority: 1, weight: 2, port: 3, target: "kv.example", ttl: 60 },
    ]);
    const resolver = resolverOf(server);
    const { signal } = new AbortController();
    expect(await resolver.addresses("kv.example", { family: 4, signal })).toEqual([
      a("10.0.0.1", 7),
      a("10.0.0.2", 9),
    ]);
    expect(await resolver.addresses("kv.example", { family: 6, signal })).toEqual([a("2001:db8::1", 300)]);
    expect(await resolver.services("_kv._tcp.example", { signal })).toMatchObject([
      { priority: 1, weight: 2, port: 3, name: "kv.example" },
    ]);
  });

  it("follows what the server says, TTL by TTL, over an outage of the server", async () => {
    await using server = await DnsServer.start();
    server.zone.set("A kv.example", [{ address: "10.0.0.1", ttl: 5 }]);
    const located = locator({ resolver: resolverOf(server) });
    await using reader = new Reader(located);
    await until(() => reader.told.length === 1);
    server.zone.set("A kv.example", [{ address: "10.0.0.2", ttl: 5 }]);
    server.zone.set("AAAA kv.example", "servfail");
    await clock.advance(5_000);
    await until(() => reader.told.length === 2);
    server.zone.set("A kv.example", "nxdomain");
    server.zone.set("AAAA kv.example", "nxdomain");
    const before = server.asked.length;
    await clock.advance(5_000);
    await until(() => server.asked.length >= before + 2);
    for (const trouble of ["silent", "garbage"] as const) {
      server.zone.set("A kv.example", trouble);
      server.zone.set("AAAA kv.example", trouble);
      const failing = new Reader(locator({ resolver: resolverOf(server) }));
      await failing.done();
      expect(failing.error).toMatchObject({ code: "unavailable" });
    }
    expect(reader.told).toEqual(["10.0.0.1:9000", "10.0.0.2:9000"]);
    await reader.end();
  });

  it("says that there are none for a name that is not there, or has no such record", async () => {
    await using server = await DnsServer.start();
    server.zone.set("A gone.example", "nxdomain");
    const { signal } = new AbortController();
    const resolver = resolverOf(server);
    expect(await resolver.addresses("gone.example", { family: 4, signal })).toEqual([]);
    expect(await resolver.addresses("other.example", { family: 6, signal })).toEqual([]);
    expect(await resolver.services("other.example", { signal })).toEqual([]);
  });

  it("takes a question back with the signal's own reason", async () => {
    await using server = await DnsServer.start();
    server.zone.set("A kv.example", "silent");
    const reason = { enough: true };
    const resolver = systemDnsResolver({ servers: [server.address], timeoutMs: 60_000 });
    const controller = new AbortController();
    const asking = resolver.addresses("kv.example", { family: 4, signal: controller.signal });
    await until(() => server.asked.length > 0);
    controller.abort(reason);
    expect(await errorOf(asking)).toBe(reason);
    expect(await errorOf(resolver.services("kv.example", { signal: controller.signal }))).toBe(reason);
  });
});
