import { Etcd3 } from "etcd3";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type EtcdServer,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../../apps/harness/src/servers/index.js";
import { type EtcdCoordOptions, etcdCoord } from "../src/etcd.js";
import type { Coord, Txn } from "../src/port.js";
import { FaultyProxy, portOf, put, soon } from "./etcd-support.js";

const increment: Txn = { then: [{ type: "put", key: "count", value: "" }] };

describe.skipIf(!requireServer("etcd"))("calls to real etcd", { timeout: 60_000 }, () => {
  let etcd: EtcdServer;
  let coord: Coord;

  beforeAll(async () => {
    etcd = await startEtcd({ args: ["--heartbeat-interval=10", "--election-timeout=100"] });
  }, goBuildTimeoutMs);

  afterAll(async () => {
    await etcd?.stop();
  });

  beforeEach(async (test) => {
    etcd.keepIfFails(test);
    const fresh = etcdCoord({ hosts: etcd.endpoint });
    coord = fresh;
    test.onTestFinished(() => fresh.close());
    await fresh.txn({ then: [{ type: "delete", prefix: "" }] });
  });

  async function times(): Promise<bigint> {
    return (await coord.get({ key: "count" })).kvs[0]?.version ?? 0n;
  }

  it("tells a transaction whose answer was lost as unavailable, and never sends it again", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    // With etcd3's defaults, which send a failed call up to three times more.
    const client = new Etcd3({ hosts: proxy.endpoint });
    for (const options of [{ hosts: proxy.endpoint }, { client }] satisfies EtcdCoordOptions[]) {
      const before = await times();
      await using behind = etcdCoord(options);
      await behind.txn(increment);
      proxy.swallow("toClient");
      const failed = expect(behind.txn(increment)).rejects.toMatchObject({ code: "unavailable" });
      await expect.poll(times, soon).toBe(before + 2n);
      proxy.swallow();
      proxy.cut();
      await failed;
      await behind.get({ prefix: "" }).catch(() => {}); // would go out behind a repetition
      expect(await times()).toBe(before + 2n);
    }
    client.close();
  });

  it("tells a transaction that was under way when etcd was killed as unavailable, and works again after its restart", async () => {
    const outcomes = Array.from({ length: 200 }, () =>
      coord.txn(increment).then(
        () => "done",
        ({ code }) => code,
      ),
    );
    await Promise.race(outcomes);
    await etcd.kill("SIGKILL");
    const all = await Promise.all(outcomes);
    await etcd.restart();
    await expect.poll(() => times().catch(({ code }) => code), soon).toBeTypeOf("bigint");
    const done = all.filter((outcome) => outcome === "done").length;
    expect(all.filter((outcome) => outcome !== "done" && outcome !== "unavailable")).toEqual([]);
    const applied = await times();
    expect(applied).toBeGreaterThanOrEqual(BigInt(done)); // nothing acknowledged is lost
    expect(applied).toBeLessThanOrEqual(200n); // nothing was done twice
  });

  it("gives up at its deadline when etcd does not answer, and takes a new connection then", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using behind = etcdCoord({ hosts: proxy.endpoint, requestTimeoutMs: 3_000 });
    const lease = await behind.grantLease(60_000);
    proxy.freezeExisting();
    for (const call of [() => behind.txn(increment), () => behind.keepAlive(lease.id)]) {
      await expect(call()).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("3000 ms"),
      });
      await expect(behind.get({ key: "count" })).resolves.toMatchObject({ kvs: [] });
      proxy.freezeExisting();
    }
  });

  it("rejects every call with the signal's own reason, while it waits and when it was aborted before", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using behind = etcdCoord({ hosts: proxy.endpoint });
    const { id } = await behind.grantLease(60_000);
    proxy.swallow("toClient");
    const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
      (signal) => behind.get({ key: "k" }, { signal }),
      (signal) => behind.txn({}, { signal }),
      (signal) => behind.grantLease(1_000, { signal }),
      (signal) => behind.keepAlive(id, { signal }),
      (signal) => behind.revokeLease(id, { signal }),
    ];
    const abort = new AbortController();
    const pending = calls.map((call) => call(abort.signal).catch((error: unknown) => error));
    const reason = { why: "enough" };
    abort.abort(reason);
    for (const result of await Promise.all(pending)) expect(result).toBe(reason);
    for (const call of [...calls, (signal: AbortSignal) => behind.clusterId({ signal })]) {
      await expect(call(abort.signal)).rejects.toBe(reason);
    }
  });

  it("does not fail others' calls when one is aborted while all of them wait for the connection", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    proxy.hold();
    await using behind = etcdCoord({ hosts: proxy.endpoint, requestTimeoutMs: 30_000 });
    const abort = new AbortController();
    const aborted = behind.get({ key: "a" }, { signal: abort.signal }).catch(() => "aborted");
    const others = [behind.get({ key: "b" }), behind.txn({})];
    await expect.poll(() => proxy.accepted, soon).toBeGreaterThan(0);
    abort.abort();
    expect(await aborted).toBe("aborted");
    // etcd3 would need up to a second to close what the others wait for; the time is another's deadline.
    await using late = etcdCoord({ hosts: proxy.endpoint, requestTimeoutMs: 1_500 });
    await expect(late.get({ key: "c" })).rejects.toMatchObject({ code: "unavailable" });
    proxy.release();
    await Promise.all(others);
  });

  it("closes its connections", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    const behind = etcdCoord({ hosts: proxy.endpoint });
    await behind.clusterId();
    expect(proxy.open).toBe(1);
    await behind.close();
    await expect.poll(() => proxy.open, soon).toBe(0);
  });

  it("reads from another member when its own is gone, and tells a write once before it changes over", async () => {
    const hosts = ["http://127.0.0.1:1", etcd.endpoint];
    const first = { randomBytes: (count: number) => new Uint8Array(count) }; // the first host
    await using reader = etcdCoord({ hosts, ...first });
    expect((await reader.get({ key: "count" })).kvs).toEqual([]);
    await using writer = etcdCoord({ hosts, ...first });
    await expect(writer.txn(increment)).rejects.toMatchObject({ code: "unavailable" });
    await expect(writer.txn(increment)).resolves.toMatchObject({ succeeded: true });
    expect(await times()).toBe(1n);
  });

  it("shares a client and leaves it open", async () => {
    const client = new Etcd3({ hosts: etcd.endpoint });
    const shared = etcdCoord({ client });
    await put(shared, "k", "v");
    await shared.close();
    await expect(shared.get({ key: "k" })).rejects.toMatchObject({ code: "closed" });
    expect(await client.get("k").string()).toBe("v");
    client.close();
  });

  it("ends calls that wait with closed", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    const behind = etcdCoord({ hosts: proxy.endpoint });
    const { id } = await behind.grantLease(60_000);
    proxy.swallow("toClient");
    const waiting = [
      behind.get({ prefix: "" }),
      behind.txn(increment),
      behind.keepAlive(id),
      behind.revokeLease(id),
    ];
    const told = waiting.map((call) => expect(call).rejects.toMatchObject({ code: "closed" }));
    await behind.close();
    await Promise.all(told);
  });

  it("keeps all 63 bits of lease ids", async () => {
    const lease = await coord.grantLease(60_000);
    expect(lease.id).toBeGreaterThan(BigInt(Number.MAX_SAFE_INTEGER));
    await coord.txn({ then: [{ type: "put", key: "k", value: "", lease: lease.id }] });
    expect((await coord.get({ key: "k" })).kvs[0]?.lease).toBe(lease.id);
    const compare = { key: "k", target: "lease", op: "=" } as const;
    expect((await coord.txn({ compare: [{ ...compare, value: lease.id }] })).succeeded).toBe(true);
    expect((await coord.txn({ compare: [{ ...compare, value: lease.id + 1n }] })).succeeded).toBe(false);
    expect(await coord.keepAlive(lease.id)).toEqual(lease);
  });

  it("rounds a lease up to whole seconds and tells what etcd granted", async () => {
    expect((await coord.grantLease(1)).ttlMs).toBe(1_000);
    expect((await coord.grantLease(1_001)).ttlMs).toBe(2_000);
  });

  it("finds a lease gone that was kept alive for a while, and then was not", async () => {
    const lease = await coord.grantLease(4_000);
    await coord.txn({ then: [{ type: "put", key: "held", value: "", lease: lease.id }] });
    const other = await coord.grantLease(4_000);
    await coord.txn({ then: [{ type: "put", key: "unheld", value: "", lease: other.id }] });
    const unheld = async (): Promise<number> => {
      await coord.keepAlive(lease.id);
      return (await coord.get({ key: "unheld" })).kvs.length;
    };
    await expect.poll(unheld, soon).toBe(0);
    await expect(coord.keepAlive(other.id)).rejects.toMatchObject({ code: "lease-not-found" });
    expect((await coord.get({ key: "held" })).kvs).toHaveLength(1);
    const held = async (): Promise<number> => (await coord.get({ key: "held" })).kvs.length;
    await expect.poll(held, soon).toBe(0);
    await expect(coord.keepAlive(lease.id)).rejects.toMatchObject({ code: "lease-not-found" });
  });

  it("reads an answer larger than gRPC takes by default", async () => {
    const value = new Uint8Array(1_000_000).fill(7);
    for (let index = 0; index < 6; index++) {
      await coord.txn({ then: [{ type: "put", key: `big/${index}`, value }] });
    }
    const { kvs } = await coord.get({ prefix: "big/" });
    expect(kvs.map((kv) => kv.value.byteLength)).toEqual(Array.from({ length: 6 }, () => 1_000_000));
  });

  it("refuses what etcd would take for something else", async () => {
    await put(coord, "\0", "the first key there can be");
    await put(coord, "a", "");
    const nothing = { from: "", to: "\0" };
    expect((await coord.get(nothing)).kvs).toEqual([]);
    const deleted = await coord.txn({
      then: [
        { type: "delete", ...nothing },
        { type: "get", ...nothing },
      ],
    });
    expect(deleted.results).toEqual([
      { type: "delete", deleted: 0 },
      { type: "get", kvs: [], more: false },
    ]);
    expect((await coord.get({ prefix: "" })).kvs.map(({ key }) => key)).toEqual(["\0", "a"]);
    expect((await coord.get({ from: "", to: "a" })).kvs.map(({ key }) => key)).toEqual(["\0"]);
  });

  it("tells a request that is too large for etcd as an invalid argument", async () => {
    // Below the limit in characters, far above it in bytes.
    const value = "\u20ac".repeat(1_000_000);
    await expect(put(coord, "k", value)).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(put(coord, "k", "\u20ac".repeat(540_000))).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});

describe("making an etcd coord", () => {
  it("connects to nothing by itself", async () => {
    await etcdCoord({ hosts: "http://127.0.0.1:1" }).close();
  });

  it.each([
    { hosts: [] },
    { hosts: "" },
    { hosts: ["http://a:1", "b c"] },
    { hosts: "http://a:1/path" },
    { hosts: "a:1", requestTimeoutMs: 0 },
    { hosts: "a:1", probeIntervalMs: Number.NaN },
    { hosts: "a:1", watchQueueBytes: -1 },
    { hosts: "a:1", maxReconnectDelayMs: Number.POSITIVE_INFINITY },
  ])("refuses %j", (options) => {
    expect(() => etcdCoord(options)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });
});
