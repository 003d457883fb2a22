import type { IResponseHeader } from "etcd3";
import { describe, expect, it } from "vitest";
import {
  type EtcdServer,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../../apps/harness/src/servers/index.js";
import { History } from "../src/etcd/history.js";
import { etcdCoord } from "../src/etcd.js";
import { FaultyProxy, iterate, portOf, put, revisionsOf, soon, take } from "./etcd-support.js";

/** Killed first: etcd takes its time to stop in peace while somebody watches. */
async function wipe(etcd: EtcdServer): Promise<void> {
  await etcd.kill("SIGKILL");
  await etcd.wipe();
}

/**
 * Looked at from the beginning, so that a failure before anybody asks for it is not taken for one that nobody
 * handles.
 */
function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "none",
    ({ code }) => code,
  );
}

const impatient = { requestTimeoutMs: 20_000, probeIntervalMs: 100, maxReconnectDelayMs: 200 };

describe.skipIf(!requireServer("etcd"))(
  "a history that is lost on real etcd",
  { timeout: goBuildTimeoutMs },
  () => {
    it("is told to a watch that waits, although etcd keeps its cluster id and would let the watch wait for ever", async (test) => {
      const etcd = await startEtcd({ test });
      await using coord = etcdCoord({ hosts: etcd.endpoint, ...impatient });
      const id = await coord.clusterId();
      let newest = 0n;
      for (let round = 0; round < 10; round++) newest = await put(coord, "k");
      const pending = codeOf(take(iterate(coord.watch({ key: "k" }, { fromRevision: newest + 1n })), 1));
      const other = codeOf(take(iterate(coord.watch({ prefix: "other/" }, { fromRevision: 1_000n })), 1));
      await wipe(etcd);
      expect(await pending).toBe("history-lost");
      expect(await other).toBe("history-lost");
      // What makes it hard to see:
      await using fresh = etcdCoord({ hosts: etcd.endpoint, ...impatient });
      expect(await fresh.clusterId()).toBe(id);
    });

    it("is told to the next call after an idle time, to everybody else, and for ever", async (test) => {
      const etcd = await startEtcd({ test });
      await using coord = etcdCoord({ hosts: etcd.endpoint, ...impatient });
      for (let round = 0; round < 3; round++) await put(coord, "k");
      const lost = { code: "history-lost" };
      await wipe(etcd);
      // The first calls' connection is the old server's, so that they may also find that out first.
      const read = () => coord.get({ key: "k" }).then(String, ({ code }) => code);
      await expect.poll(read, soon).not.toBe("unavailable");
      expect(await read()).toBe("history-lost");

      // Even when the new history has got ahead of the old one.
      await using fresh = etcdCoord({ hosts: etcd.endpoint, ...impatient });
      for (let round = 0; round < 10; round++) await put(fresh, "k");
      await expect(coord.get({ key: "k" })).rejects.toMatchObject(lost);
      await expect(coord.txn({ then: [{ type: "put", key: "k", value: "" }] })).rejects.toMatchObject(lost);
      await expect(coord.grantLease(2_000)).rejects.toMatchObject(lost);
      await expect(coord.keepAlive(1n)).rejects.toMatchObject(lost);
      await expect(coord.revokeLease(1n)).rejects.toMatchObject(lost);
      await expect(coord.clusterId()).rejects.toMatchObject(lost);
      await expect(take(iterate(coord.watch({ key: "k" })), 1)).rejects.toMatchObject(lost);
      await expect(take(iterate(coord.watch({ key: "k" }, { fromRevision: 1n })), 1)).rejects.toMatchObject(
        lost,
      );
      expect((await fresh.get({ key: "k" })).kvs[0]).toMatchObject({ version: 10n });
    });

    it("is told to a read of a revision that was seen before", async (test) => {
      const etcd = await startEtcd({ test });
      await using coord = etcdCoord({ hosts: etcd.endpoint, ...impatient });
      let seen = 0n;
      for (let round = 0; round < 5; round++) seen = await put(coord, "k");
      await wipe(etcd);
      const read = () => coord.get({ key: "k" }, { revision: seen }).catch((error) => error.code);
      await expect.poll(read, soon).not.toBe("unavailable");
      expect(await read()).toBe("history-lost");
    });

    it("is told when another cluster answers, whatever its revision", async (test) => {
      const etcd = await startEtcd({ test });
      const stranger = await startEtcd({ test });
      await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
      await using coord = etcdCoord({ hosts: proxy.endpoint, ...impatient });
      const newest = await put(coord, "k");
      const pending = codeOf(take(iterate(coord.watch({ key: "k" }, { fromRevision: newest + 1n })), 1));
      await using ahead = etcdCoord({ hosts: stranger.endpoint, ...impatient });
      for (let round = 0; round < 10; round++) await put(ahead, "k");
      proxy.redirect(portOf(stranger.endpoint));
      proxy.cut();
      expect(await pending).toBe("history-lost");
      await expect(coord.get({ key: "k" })).rejects.toMatchObject({ code: "history-lost" });
    });

    it("is not seen in calls that overtake each other, nor in a restart", async (test) => {
      const etcd = await startEtcd({ test });
      await using coord = etcdCoord({ hosts: etcd.endpoint, requestTimeoutMs: 30_000 });
      const watch = iterate(coord.watch({ prefix: "" }));
      const calls = Array.from({ length: 600 }, (_, index) =>
        index % 3 === 0
          ? coord.get({ prefix: "" })
          : index % 3 === 1
            ? put(coord, `k${index}`)
            : coord.grantLease(60_000),
      );
      await Promise.all(calls);
      const told = await take(watch, 200);
      await etcd.kill("SIGKILL");
      await etcd.restart();
      await expect.poll(() => coord.get({ key: "k1" }).then(({ kvs }) => kvs.length, String), soon).toBe(1);
      const revision = await put(coord, "last");
      expect(revisionsOf([...told, ...(await take(watch, 1))]).at(-1)).toBe(revision);
      await watch.return();
    });
  },
);

describe("what headers say of the history", () => {
  const header = (revision: number, cluster_id = "1"): IResponseHeader => ({
    revision: String(revision),
    cluster_id,
    member_id: "7",
    raft_term: "2",
  });

  it("takes a lower revision for a loss only against what was seen before the call", () => {
    const history = new History();
    expect(history.observe(header(10), history.newest)).toBe(10n);
    const floor = history.newest;
    history.observe(header(12)); // a later call that was answered first
    expect(history.observe(header(11), floor)).toBe(11n);
    expect(history.newest).toBe(12n);
    expect(() => history.observe(header(11), history.newest)).toThrow("went back from 12 to 11");
  });

  it("takes a lower revision from a member's own state for a delay", () => {
    const history = new History();
    history.observe(header(10));
    expect(history.observe(header(9))).toBe(9n);
    expect(history.newest).toBe(10n);
  });

  it("takes another cluster id for a loss in any answer", () => {
    const history = new History();
    history.observe(header(10, "18446744073709551615"));
    expect(history.clusterId).toBe("18446744073709551615");
    expect(() => history.observe(header(11, "2"))).toThrow("another etcd cluster");
  });
});
