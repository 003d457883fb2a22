import { CoordError, openSession } from "@x/coord";
import { type EmbeddedCoord, openEmbeddedCoord } from "@x/coord/embedded";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FlakyCoord, unavailable } from "../../../coord/test/support/flaky-coord.js";
import { MemoryFileSystem } from "../../../coord/test/support/memory-file-system.js";
import {
  type EtcdLocatorOptions,
  etcdLocator,
  type RegisterOptions,
  type RegistrationEvent,
  register,
  type SkippedKey,
} from "../../src/etcd.js";
import { at, errorOf, FakeClock, Reader, settled } from "./support.js";

const prefix = "/services/kv/";
const ttlMs = 9000;

let clock: FakeClock;
let store: EmbeddedCoord;
let flaky: FlakyCoord;
let events: RegistrationEvent[];

beforeEach(async () => {
  clock = new FakeClock();
  store = await openEmbeddedCoord({
    directory: "/store",
    clock,
    fileSystem: new MemoryFileSystem(),
    historyRevisions: 50,
  });
  flaky = new FlakyCoord(store);
  events = [];
});

afterEach(() => store.close());

const put = (key: string, value: string | Uint8Array, lease?: bigint): Promise<unknown> =>
  store.txn({
    then: [{ type: "put", key: `${prefix}${key}`, value, ...(lease === undefined ? {} : { lease }) }],
  });
const remove = (key: string): Promise<unknown> =>
  store.txn({ then: [{ type: "delete", key: `${prefix}${key}` }] });
const locator = (options: Partial<EtcdLocatorOptions> = {}) =>
  etcdLocator({ coord: flaky.coord, prefix, clock, ...options });
const registering = (options: Partial<RegisterOptions> = {}) =>
  register({
    coord: flaky.coord,
    prefix,
    endpoint: at("10.0.0.7", 9000, { zone: "a" }),
    ttlMs,
    clock,
    random: () => 1,
    log: (event) => events.push(event),
    ...options,
  });
const keys = async (): Promise<string[]> => (await store.get({ prefix })).kvs.map(({ key }) => key);
const told = () => events.map(({ event }) => event);

describe("a locator on a prefix", () => {
  it("tells what is there, then every change", async () => {
    await put("1", '{"host":"a","port":1,"labels":{"zone":"x"}}');
    await put("2", "b:2");
    await using reader = new Reader(locator());
    await settled();
    await put("3", '"[::1]:3"');
    await settled();
    await remove("2");
    await settled();
    expect(reader.told).toEqual(["a:1 b:2", "[::1]:3 a:1 b:2", "[::1]:3 a:1"]);
    expect(reader.sets[0]?.find(({ host }) => host === "a")?.labels).toEqual({ zone: "x" });
  });

  it("tells that there is nothing", async () => {
    await using reader = new Reader(locator());
    await settled();
    expect(reader.told).toEqual([""]);
  });

  it("is silent when a value is put again, or a second key says the same", async () => {
    await put("1", "a:1");
    await using reader = new Reader(locator());
    await settled();
    await put("1", "a:1");
    await put("2", "a:1");
    await remove("1");
    await settled();
    expect(reader.told).toEqual(["a:1"]);
    await remove("2");
    await settled();
    expect(reader.last).toBe("");
  });

  it("takes of several keys for one address the labels of the one that changed last", async () => {
    await put("2", '{"host":"a","port":1,"labels":{"v":"old"}}');
    await put("1", '{"host":"a","port":1,"labels":{"v":"new"}}');
    await using reader = new Reader(locator());
    await settled();
    expect(reader.sets.at(-1)).toEqual([at("a", 1, { v: "new" })]);
    await put("2", '{"host":"a","port":1,"labels":{"v":"newest"}}');
    await settled();
    expect(reader.sets.at(-1)).toEqual([at("a", 1, { v: "newest" })]);
  });

  it("skips what is no endpoint, counts it, and tells it once for all readers, whatever else goes on", async () => {
    const bad: [string, string | Uint8Array][] = [
      ["empty", ""],
      ["garbage", "{"],
      ["not utf8", new Uint8Array([0xff, 0xfe])],
      ["number", "7"],
      ["array", '["a:1"]'],
      ["null", '{"host":null,"port":1}'],
      ["port", '{"host":"a","port":70000}'],
      ["labels", '{"host":"a","port":1,"labels":{"x":{}}}'],
      ["huge", `"${"a".repeat(100_000)}:1"`],
    ];
    for (const [key, value] of bad) await put(key, value);
    await put("good", "b:2");
    const skipped: SkippedKey[] = [];
    const located = locator({ onSkipped: (each) => skipped.push(each) });
    await using one = new Reader(located);
    await settled();
    await using two = new Reader(located);
    await put("other", "c:3");
    await settled();
    expect([one.last, two.last]).toEqual(["b:2 c:3", "b:2 c:3"]);
    expect(located.skipped).toBe(bad.length);
    expect(skipped.map(({ key }) => key.slice(prefix.length)).sort()).toEqual(bad.map(([key]) => key).sort());
    for (const { error } of skipped) expect(error).toMatchObject({ code: "invalid-endpoint" });

    await put("garbage", "d:4");
    await put("port", '{"host":"a","port":-1}');
    await remove("empty");
    await settled();
    expect(located.skipped).toBe(bad.length - 2);
    expect(skipped.slice(bad.length).map(({ key }) => key)).toEqual([`${prefix}port`]);
    expect(one.last).toBe("b:2 c:3 d:4");
  });

  it("reads another layout with a decoder, which may pass over keys and may fail", async () => {
    await put("a/meta", "");
    await put("a/addr", "10.0.0.1");
    await put("b/addr", "throw");
    const located = locator({
      decode: ({ key, value }) => {
        const host = new TextDecoder().decode(value);
        if (host === "throw") throw new Error("no");
        return key.endsWith("/addr") ? { host, port: 7 } : undefined;
      },
    });
    await using reader = new Reader(located);
    await settled();
    expect([reader.told, located.skipped]).toEqual([["10.0.0.1:7"], 1]);
  });

  it("keeps what it told while the store is away, and catches up when it is back, over a compaction too", async () => {
    await put("1", "a:1");
    await using reader = new Reader(locator());
    await settled();
    for (const method of ["get", "watch", "clusterId"] as const) flaky.trouble.set(method, unavailable);
    for (let index = 0; index < 100; index++) await put("2", `b:${index + 1}`);
    await remove("1");
    await clock.advance(60_000);
    expect([reader.ended, reader.error]).toEqual([false, undefined]);
    flaky.trouble.clear();
    await clock.advance(2000);
    expect(reader.last).toBe("b:100");
  });

  it("throws when the store is away from the start, or is not the one it was", async () => {
    flaky.trouble.set("get", unavailable);
    const reader = new Reader(locator());
    await reader.done();
    expect(reader.error).toMatchObject({ code: "unavailable", cause: unavailable });
    flaky.trouble.clear();

    const second = new Reader(locator());
    await settled();
    flaky.trouble.set("watch", new CoordError("history-lost", "another cluster"));
    await put("1", "a:1");
    await second.done();
    expect(second.error).toMatchObject({ code: "unavailable", cause: { code: "history-lost" } });
  });

  it("tells a slow reader the newest set only", async () => {
    const reader = locator().locate({ signal: new AbortController().signal })[Symbol.asyncIterator]();
    await reader.next();
    for (let port = 1; port <= 20; port++) {
      await put("1", `a:${port}`);
      await settled();
    }
    expect((await reader.next()).value).toEqual([at("a", 20)]);
    await reader.return?.();
  });

  it("refuses an empty prefix, which is everything", () => {
    expect(() => locator({ prefix: "" })).toThrow(/prefix must be a string that is not empty/);
  });
});

describe("a registration", () => {
  it("is found by a locator, with its labels, until it is closed", async () => {
    await using reader = new Reader(locator());
    const registration = await registering();
    await settled();
    expect(registration.key).toBe("/services/kv/10.0.0.7:9000");
    expect(registration.registered).toBe(true);
    expect(reader.sets.at(-1)).toEqual([at("10.0.0.7", 9000, { zone: "a" })]);
    await registration.close();
    await settled();
    expect([reader.last, registration.registered]).toEqual(["", false]);
    expect(clock.timers).toBe(1); // The store's own, for its leases.
  });

  it("outlives its time to live for as long as the process lives, and not longer", async () => {
    const registration = await registering();
    await clock.advance(20 * ttlMs);
    expect(await keys()).toEqual([registration.key]);
    flaky.trouble.set("keepAlive", "hangs");
    flaky.trouble.set("grantLease", "hangs");
    await clock.advance(ttlMs + ttlMs / 3);
    expect(await keys()).toEqual([]);
    expect(registration.registered).toBe(false);
    flaky.trouble.clear();
    await registration.close();
  });

  it("comes back with a new lease when the lease was lost", async () => {
    const registration = await registering();
    const lease = (await store.get({ prefix })).kvs[0]?.lease ?? 0n;
    await store.revokeLease(lease);
    expect(await keys()).toEqual([]);
    await clock.advance(ttlMs / 3);
    expect(await keys()).toEqual([registration.key]);
    expect((await store.get({ prefix })).kvs[0]?.lease).not.toBe(lease);
    expect(told()).toEqual(["registered", "lost", "registered"]);
    expect(events[1]?.error).toMatchObject({ code: "lease-not-found" });
    await registration.close();
    expect(await keys()).toEqual([]);
  });

  it("is put back on its lease when somebody else deletes it, less and less soon when that goes on", async () => {
    await using reader = new Reader(locator());
    const registration = await registering();
    await settled();
    const [before] = (await store.get({ prefix })).kvs;
    const pauses: number[] = [];
    for (let time = 1; time <= 8; time++) {
      await remove("10.0.0.7:9000");
      await settled();
      expect([await keys(), registration.registered]).toEqual([[], false]);
      const startMs = clock.monotonicMs();
      while ((await keys()).length === 0) await clock.advance(50);
      pauses.push(clock.monotonicMs() - startMs);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    const [after] = (await store.get({ prefix })).kvs;
    expect(after).toMatchObject({ value: before?.value, lease: before?.lease });
    expect(registration.registered).toBe(true);
    expect(reader.last).toBe("10.0.0.7:9000");
    expect(told()).toEqual(["registered", ...Array.from({ length: 8 }, () => "restored")]);

    // It was there for long enough since.
    await clock.advance(5000);
    await remove("10.0.0.7:9000");
    await clock.advance(100);
    expect(await keys()).toEqual([registration.key]);
    await registration.close();
    await clock.advance(60_000);
    expect(await keys()).toEqual([]);
    expect(clock.timers).toBe(1);
  });

  it("is put back when it was deleted while the store was away, also behind a compaction", async () => {
    const registration = await registering();
    await settled();
    for (const method of ["get", "watch", "clusterId", "txn"] as const)
      flaky.trouble.set(method, unavailable);
    await remove("10.0.0.7:9000");
    for (let index = 0; index < 100; index++) await put("other", `b:${index + 1}`);
    await clock.advance(5000);
    flaky.trouble.delete("watch");
    flaky.trouble.delete("get");
    flaky.trouble.delete("clusterId");
    await clock.advance(5000);
    expect(registration.registered).toBe(false);
    expect(told()).toContain("failed");
    flaky.trouble.clear();
    await clock.advance(5000);
    expect(await keys()).toEqual([registration.key, `${prefix}other`]);
    expect(registration.registered).toBe(true);
    await registration.close();
  });

  it("does not put back what another process has registered anew, and does when that one has left", async () => {
    const old = await registering({ endpoint: at("10.0.0.7", 9000, { v: "old" }) });
    const fresh = await registering({ endpoint: at("10.0.0.7", 9000, { v: "new" }) });
    await clock.advance(10_000);
    const value = async () => new TextDecoder().decode((await store.get({ prefix })).kvs[0]?.value);
    expect(await value()).toContain("new");
    await fresh.close();
    await clock.advance(100);
    expect(await value()).toContain("old");
    await old.close();
    expect(await keys()).toEqual([]);
  });

  it("goes on with its lease when the key cannot be followed any more", async () => {
    flaky.trouble.set("watch", new CoordError("history-lost", "another cluster"));
    const registration = await registering();
    await clock.advance(3 * ttlMs);
    expect([await keys(), registration.registered]).toEqual([[registration.key], true]);
    await registration.close();
    expect(await keys()).toEqual([]);
  });

  it("waits for a store that is away, more and more patiently, and registers when it is back", async () => {
    flaky.trouble.set("grantLease", unavailable);
    const registration = registering();
    await clock.advance(100 + 200 + 400 + 800 + 1600 + 3200);
    expect(flaky.count("grantLease")).toBe(7);
    await clock.advance(15_000);
    expect(flaky.count("grantLease")).toBe(10);
    flaky.trouble.clear();
    await clock.advance(5000);
    await (await registration).close();
    expect(told()).toEqual([...Array.from({ length: 10 }, () => "failed"), "registered"]);
  });

  it("tries again when the put failed, with the same lease, and with a new one when that is gone", async () => {
    flaky.trouble.set("txn", unavailable);
    const registration = registering();
    await settled();
    flaky.trouble.set("txn", new CoordError("lease-not-found", "gone"));
    await clock.advance(100);
    flaky.trouble.clear();
    await clock.advance(200);
    await (await registration).close();
    expect(flaky.count("grantLease")).toBe(2);
    expect(told()).toEqual(["failed", "failed", "registered"]);
  });

  it("rejects with the signal's own reason when it is aborted before it is registered", async () => {
    const reason = { enough: true };
    expect(await errorOf(registering({ signal: AbortSignal.abort(reason) }))).toBe(reason);
    for (const trouble of [unavailable, "hangs"] as const) {
      flaky.trouble.set("txn", trouble);
      const controller = new AbortController();
      const registration = registering({ signal: controller.signal });
      await settled();
      controller.abort(reason);
      expect(await errorOf(registration)).toBe(reason);
      flaky.trouble.clear();
    }
    await clock.advance(10);
    expect(clock.timers).toBeLessThanOrEqual(1);
    expect(await keys()).toEqual([]);
  });

  it("rejects when the store says what will not pass, and stops trying when it says so later", async () => {
    const fatal = new CoordError("history-lost", "another cluster");
    flaky.trouble.set("grantLease", fatal);
    expect(await errorOf(registering())).toMatchObject({ code: "unavailable", cause: fatal });
    flaky.trouble.clear();
    const registration = await registering();
    flaky.trouble.set("keepAlive", fatal);
    flaky.trouble.set("grantLease", fatal);
    await clock.advance(ttlMs);
    expect(told()).toEqual(["registered", "lost", "over"]);
    expect(registration.registered).toBe(false);
    await registration.close();
  });

  it("leaves the key alone that another process has registered anew", async () => {
    const old = await registering({ endpoint: at("10.0.0.7", 9000, { v: "old" }) });
    const fresh = await registering({ endpoint: at("10.0.0.7", 9000, { v: "new" }) });
    await old.close();
    expect(await keys()).toEqual([fresh.key]);
    await fresh.close();
    expect(await keys()).toEqual([]);
  });

  it("is closed once, also while it is coming back", async () => {
    const registration = await registering();
    flaky.trouble.set("keepAlive", unavailable);
    flaky.trouble.set("grantLease", "hangs");
    await clock.advance(2 * ttlMs);
    await Promise.all([registration.close(), registration.close(), registration[Symbol.asyncDispose]()]);
    expect(clock.timers).toBe(0);
  });

  it("hangs on a session of the caller's when it is given one, which it leaves open", async () => {
    const session = await openSession(store, { ttlMs, clock });
    const registration = await registering({ session });
    expect((await store.get({ prefix })).kvs[0]?.lease).toBe(session.leaseId);
    await registration.close();
    expect([await keys(), session.isAlive()]).toEqual([[], true]);

    const deleted = await registering({ session });
    await settled();
    await remove("10.0.0.7:9000");
    await clock.advance(100);
    expect((await store.get({ prefix })).kvs[0]?.lease).toBe(session.leaseId);
    await deleted.close();

    const second = await registering({ session });
    await put("10.0.0.7:9000", "taken:1");
    await second.close();
    expect(await keys()).toEqual([second.key]);

    const third = await registering({ session });
    await session.close();
    await settled();
    expect([await keys(), third.registered]).toEqual([[], false]);
    expect(told().at(-1)).toBe("over");
    await third.close();
  });

  it("refuses an endpoint that nobody could call, and an empty prefix", async () => {
    expect(await errorOf(registering({ endpoint: at("a", 0) }))).toMatchObject({ code: "invalid-endpoint" });
    expect(await errorOf(registering({ prefix: "" }))).toMatchObject({ code: "invalid-argument" });
  });
});
