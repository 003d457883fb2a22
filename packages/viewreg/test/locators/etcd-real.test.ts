import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Coord } from "@x/coord";
import { etcdCoord } from "@x/coord/etcd";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type EtcdServer,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../../../apps/harness/src/servers/index.js";
import { etcdLocator, register } from "../../src/etcd.js";
import { at, Reader, until } from "./support.js";

const impatient = { requestTimeoutMs: 5_000, probeIntervalMs: 100, maxReconnectDelayMs: 200 };

describe.skipIf(!requireServer("etcd"))("servers on real etcd", { timeout: 60_000 }, () => {
  let etcd: EtcdServer;
  let coord: Coord;
  let prefix = "";
  let count = 0;

  beforeAll(async () => {
    // Short leases.
    etcd = await startEtcd({ args: ["--heartbeat-interval=10", "--election-timeout=100"] });
  }, goBuildTimeoutMs);

  afterAll(async () => {
    await etcd?.stop();
  });

  beforeEach((test) => {
    etcd.keepIfFails(test);
    prefix = `/services/${count++}/`;
    const fresh = etcdCoord({ hosts: etcd.endpoint, ...impatient });
    coord = fresh;
    test.onTestFinished(() => fresh.close());
  });

  it("are found when they register, and gone when they close", async () => {
    await using reader = new Reader(etcdLocator({ coord, prefix }));
    const one = await register({ coord, prefix, endpoint: at("10.0.0.1", 9000, { zone: "a" }) });
    const two = await register({ coord, prefix, endpoint: at("10.0.0.2", 9000) });
    await until(() => reader.last === "10.0.0.1:9000 10.0.0.2:9000");
    expect(reader.sets.at(-1)?.[0]?.labels).toEqual({ zone: "a" });
    await one.close();
    await until(() => reader.last === "10.0.0.2:9000");
    await two.close();
    await until(() => reader.last === "");
  });

  it("stay, and are followed, over a restart of etcd and a compaction behind the locator's back", async () => {
    await using reader = new Reader(etcdLocator({ coord, prefix }));
    await using registration = await register({
      coord,
      prefix,
      endpoint: at("10.0.0.1", 9000),
      ttlMs: 20_000,
    });
    await until(() => reader.last === "10.0.0.1:9000");
    await etcd.kill("SIGKILL");
    await etcd.restart();
    // Another client writes history that is gone before the locator can have read it.
    const other = etcdCoord({ hosts: etcd.endpoint, ...impatient });
    try {
      for (let port = 1; port <= 50; port++)
        await other.txn({ then: [{ type: "put", key: `${prefix}moving`, value: `10.0.0.2:${port}` }] });
      await etcd.compact(await etcd.revision());
    } finally {
      await other.close();
    }
    await until(() => reader.last === "10.0.0.1:9000 10.0.0.2:50");
    expect([reader.error, registration.registered]).toEqual([undefined, true]);
  });

  it("are put back when somebody else deletes their key", async () => {
    await using reader = new Reader(etcdLocator({ coord, prefix }));
    const events: string[] = [];
    await using registration = await register({
      coord,
      prefix,
      endpoint: at("10.0.0.1", 9000),
      log: ({ event }) => events.push(event),
    });
    await until(() => reader.last === "10.0.0.1:9000");
    const kv = async () => (await coord.get({ prefix })).kvs[0];
    const before = await kv();
    const { revision } = await coord.txn({ then: [{ type: "delete", key: registration.key }] });
    await until(() => events.includes("restored"));
    const after = await kv();
    expect(after?.createRevision).toBeGreaterThan(revision);
    expect([after?.lease, registration.registered]).toEqual([before?.lease, true]);
    // A reader that is slow misses that it was gone.
    await until(() => reader.last === "10.0.0.1:9000");
  });

  it("come back by themselves when their lease was lost with etcd's being away", async () => {
    await using reader = new Reader(etcdLocator({ coord, prefix }));
    const lost: string[] = [];
    await using registration = await register({
      coord,
      prefix,
      endpoint: at("10.0.0.1", 9000),
      ttlMs: 3_000,
      log: ({ event }) => lost.push(event),
    });
    await until(() => reader.last === "10.0.0.1:9000");
    await etcd.kill("SIGSTOP");
    await until(() => lost.includes("lost"));
    await etcd.kill("SIGCONT");
    await until(() => lost.filter((event) => event === "registered").length === 2);
    await until(() => reader.last === "10.0.0.1:9000");
    expect(registration.registered).toBe(true);
  });

  it("are gone within their time to live when their process is killed", async () => {
    const folder = await mkdtemp(
      join(fileURLToPath(new URL("../..", import.meta.url)), "node_modules", ".register-"),
    );
    try {
      // The store's answer to a lease is what is tested, so the process does by hand what `register` does: grant, put, keep alive.
      await writeFile(join(folder, "program.mjs"), program(etcd.endpoint, `${prefix}10.0.0.9:9000`));
      const child = spawn(process.execPath, [join(folder, "program.mjs")], {
        stdio: "ignore",
        timeout: 30_000,
      });
      await using reader = new Reader(etcdLocator({ coord, prefix }));
      try {
        await until(() => reader.last === "10.0.0.9:9000");
      } finally {
        child.kill("SIGKILL");
      }
      await until(() => reader.last === "");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

function program(endpoint: string, key: string): string {
  return `
    import { Etcd3 } from "etcd3";
    const client = new Etcd3({ hosts: ${JSON.stringify(endpoint)} });
    await client.lease(5).put(${JSON.stringify(key)}).value(JSON.stringify({ host: "10.0.0.9", port: 9000 }));
    setInterval(() => {}, 1000);`;
}
