import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { Etcd3 } from "etcd3";
import { beforeAll, describe, expect, it } from "vitest";
import {
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../src/servers/index.js";

async function withClient<T>(etcd: EtcdServer, work: (client: Etcd3) => PromiseLike<T>): Promise<T> {
  const client = new Etcd3({ hosts: etcd.endpoint });
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

async function clusterId(etcd: EtcdServer): Promise<string> {
  return withClient(etcd, async (client) => (await client.maintenance.status()).header.cluster_id);
}

describe.skipIf(!requireServer("etcd"))("a real etcd", { timeout: 60_000 }, () => {
  beforeAll(() => buildGoServer(etcdBuild), goBuildTimeoutMs);

  it("is of the pinned version, empty, and takes writes", async () => {
    await using etcd = await startEtcd();
    expect(await etcd.revision()).toBe(1n);
    await withClient(etcd, async (client) => {
      expect((await client.maintenance.status()).version).toBe("3.6.16");
      await client.put("key").value("value");
      expect(await client.get("key").string()).toBe("value");
    });
    expect(await etcd.revision()).toBe(2n);
  });

  it("keeps what it acknowledged over SIGKILL and restart, at the same endpoint", async () => {
    await using etcd = await startEtcd();
    const { endpoint } = etcd;
    await withClient(etcd, (client) => client.put("key").value("value"));
    await etcd.kill("SIGKILL");
    await expect(etcd.revision()).rejects.toMatchObject({ code: "request-failed" });
    await etcd.restart();
    expect(etcd.endpoint).toBe(endpoint);
    await withClient(etcd, async (client) => expect(await client.get("key").string()).toBe("value"));
    await etcd.restart(); // a gentle one
    await withClient(etcd, async (client) => expect(await client.get("key").string()).toBe("value"));
  });

  it("is empty at the same endpoint after a wipe, with the cluster id it had before", async () => {
    await using etcd = await startEtcd();
    const { endpoint } = etcd;
    const before = await clusterId(etcd);
    await withClient(etcd, (client) => client.put("key").value("value"));
    await etcd.wipe();
    expect(etcd.endpoint).toBe(endpoint);
    expect(await etcd.revision()).toBe(1n);
    expect(await clusterId(etcd)).toBe(before);
  });

  it("loses its history when compacted", async () => {
    await using etcd = await startEtcd();
    await withClient(etcd, async (client) => {
      await client.put("key").value("old");
      await client.put("key").value("new");
      await etcd.compact(3n);
      await expect(client.get("key").revision(2)).rejects.toThrow(/compacted/);
      expect(await client.get("key").string()).toBe("new");
    });
    await expect(etcd.compact(3n)).rejects.toMatchObject({ code: "request-failed", message: /compacted/ });
  });

  it("runs beside others of its kind, each with ports of its own", async () => {
    const etcds = await Promise.all([startEtcd(), startEtcd(), startEtcd()]);
    expect(new Set(etcds.flatMap((etcd) => Object.values(etcd.ports))).size).toBe(6);
    await withClient(etcds[0], (client) => client.put("key").value("value"));
    expect(await Promise.all(etcds.map((etcd) => etcd.revision()))).toEqual([2n, 1n, 1n]);
    await Promise.all(etcds.map((etcd) => etcd.stop()));
  });

  it("grants leases of one second when its election timeout is made short", async () => {
    await using etcd = await startEtcd({ args: ["--heartbeat-interval=10", "--election-timeout=100"] });
    await withClient(etcd, async (client) => {
      const lease = await client.leaseClient.leaseGrant({ TTL: 1, ID: 0 });
      expect(lease.TTL).toBe("1");
    });
  });

  it("is not taken for another one that has its port", async () => {
    await using other = await startEtcd();
    const etcd = startEtcd({ pickPorts: async () => [other.ports.client, other.ports.peer] });
    const error: Error = await etcd.then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: "exited", message: /address already in use/ });
    rmSync(dirname(/its log is (.*?), which/.exec(error.message)?.[1] ?? ""), { recursive: true });
  });
});
