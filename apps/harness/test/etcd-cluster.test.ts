import { beforeAll, describe, expect, it, vi } from "vitest";
import {
  buildGoServer,
  etcdBuild,
  goBuildTimeoutMs,
  requireServer,
  startEtcdCluster,
} from "../src/servers/index.js";

describe.skipIf(!requireServer("etcd"))("a cluster of real etcd", { timeout: 120_000 }, () => {
  beforeAll(() => buildGoServer(etcdBuild), goBuildTimeoutMs);

  it("has one history at all its members, also while one of them is gone", async () => {
    await using cluster = await startEtcdCluster();
    const [first, second, third] = cluster.members;
    expect(cluster.members).toHaveLength(3);
    expect(new Set(cluster.members.map(({ endpoint }) => endpoint)).size).toBe(3);
    await third?.kill("SIGKILL");
    // It may have been the leader: then the others elect one first.
    await vi.waitFor(async () => expect(await first?.revision()).toBe(1n), 20_000);
    await vi.waitFor(() => put(first?.endpoint ?? ""), 20_000);
    const revision = await second?.revision();
    expect(revision).toBeGreaterThan(1n);
    await third?.restart();
    expect(await third?.revision()).toBe(revision);
  });
});

async function put(endpoint: string): Promise<void> {
  const body = JSON.stringify({ key: "a2V5", value: "dmFsdWU=" });
  const response = await fetch(`${endpoint}/v3/kv/put`, { method: "POST", body });
  expect(response.status).toBe(200);
}
