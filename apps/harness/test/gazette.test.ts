import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  buildGazette,
  buildGoServer,
  type EtcdCluster,
  type EtcdServer,
  etcdBuild,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
  startEtcdCluster,
  startGazette,
} from "../src/servers/index.js";
import { isGone } from "./processes.js";

const missing = !requireServer("etcd") || !requireServer("gazette");

describe.skipIf(missing)("a real Gazette", { timeout: 120_000 }, () => {
  let etcd: EtcdServer;
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    etcd = await startEtcd();
  }, 2 * goBuildTimeoutMs);
  afterAll(() => etcd?.stop());

  it("lists a journal that was created, and reads what was appended", async (test) => {
    const gazette = await startGazette({ etcd, test });
    await gazette.createJournal({ name: "test/one", labels: [{ name: "kind", value: "small" }] });
    expect((await gazette.gazctl(["journals", "list"])).stdout.toString()).toContain("test/one");
    expect(await gazette.listJournals()).toEqual([
      expect.objectContaining({
        name: "test/one",
        primary: gazette.brokers[0]?.processId,
        labels: [{ name: "kind", value: "small" }],
      }),
    ]);
    const content = randomBytes(100_000);
    await gazette.gazctl(["journals", "append", "-l", "name=test/one"], { input: content });
    const { stdout } = await gazette.gazctl(["journals", "read", "-l", "name=test/one"]);
    expect(stdout.equals(content)).toBe(true);
    await expect(gazette.createJournal("test/one")).rejects.toMatchObject({ code: "request-failed" });
    await gazette.deleteJournals(["test/one"]);
    expect(await gazette.listJournals()).toEqual([]);
  });

  it.each(["NONE", "GZIP", "SNAPPY", "ZSTANDARD"] as const)(
    "persists fragments as %s, below its root",
    async (codec) => {
      await using gazette = await startGazette({ etcd });
      await gazette.createJournal({
        name: "test/small",
        codec,
        fragmentBytes: 1024,
        stores: ["file:///sub/"],
      });
      await gazette.gazctl(["journals", "append", "-l", "name=test/small"], { input: "a".repeat(2_000) });
      // The next append finds that the fragment is full, and closes it.
      await gazette.gazctl(["journals", "append", "-l", "name=test/small"], { input: "next" });
      const folder = join(gazette.fileRoot, "sub", "test", "small");
      const ending = { NONE: ".raw", GZIP: ".gz", SNAPPY: ".sz", ZSTANDARD: ".zst" }[codec];
      await vi.waitFor(() => {
        expect(readdirSync(folder)).toEqual([expect.stringMatching(/^0{16}-0{13}7d0-/)]);
        expect(readdirSync(folder)[0]?.endsWith(ending)).toBe(true);
      }, 20_000);
    },
  );

  it("is killed and comes back at the same endpoint, without a wait for its lease", async (test) => {
    const gazette = await startGazette({ etcd, test });
    const [broker] = gazette.brokers;
    const { endpoint } = gazette;
    await gazette.createJournal("test/kept");
    await broker?.kill("SIGKILL");
    await expect(gazette.listJournals()).rejects.toThrow();
    const before = performance.now();
    await broker?.restart();
    await gazette.waitForAssignment(["test/kept"]);
    expect(performance.now() - before).toBeLessThan(9_000); // a broker that finds its name taken waits for 10 s
    expect(gazette.endpoint).toBe(endpoint);
  });

  it("stands still and goes on", async () => {
    await using gazette = await startGazette({ etcd, leaseSeconds: 60 });
    const [broker] = gazette.brokers;
    await broker?.kill("SIGSTOP");
    await expect(gazette.listJournals()).rejects.toThrow(/did not answer in time/);
    await broker?.kill("SIGCONT");
    expect(await gazette.listJournals()).toEqual([]);
  });

  it("listens on a Unix socket", async () => {
    await using gazette = await startGazette({ etcd, listen: "unix" });
    const [broker] = gazette.brokers;
    expect(gazette.endpoint).toBe(`unix://127.0.0.1${broker?.socketPath}`);
    await gazette.createJournal("test/socket");
    await gazette.gazctl(["journals", "append", "-l", "name=test/socket"], { input: "content" });
    const { stdout } = await gazette.gazctl(["journals", "read", "-l", "name=test/socket"]);
    expect(stdout.toString()).toBe("content");
    await broker?.kill("SIGKILL");
    await broker?.restart();
    expect(await gazette.listJournals()).toHaveLength(1);
  });

  it("wants a token that is of its keys, not over, and allows what is asked", async () => {
    await using gazette = await startGazette({ etcd, authKeys: "c2VjcmV0,b3RoZXI=" });
    await gazette.createJournal("test/guarded");
    const [broker] = gazette.brokers;
    const list = async (token?: string): Promise<unknown> =>
      broker?.request("/v1/journals/list", { post: {}, token });
    await expect(list()).rejects.toThrow(/missing or empty Authorization/);
    await expect(list(gazette.token({ capabilities: ["READ"] }))).rejects.toThrow(/required LIST capability/);
    await expect(list(gazette.token({ validForSeconds: -60 }))).rejects.toThrow(/expired/);
    await expect(list(gazette.token({ capabilities: ["LIST"] }))).resolves.toBeDefined();
    const other = gazette.token({ include: [{ name: "name", value: "test/other" }] });
    expect(await list(other)).toMatchObject({ result: { journals: [] } });
    const { stdout } = await gazette.gazctl(["journals", "list"]);
    expect(stdout.toString()).toContain("test/guarded");
  });

  it("takes all stores for its file root, when told so", async () => {
    await using gazette = await startGazette({ etcd, fileOnly: true });
    await gazette.createJournal({ name: "test/bucket", fragmentBytes: 1024, stores: ["s3://nowhere/"] });
    const append = ["journals", "append", "-l", "name=test/bucket"];
    await gazette.gazctl(append, { input: "a".repeat(2_000) });
    await gazette.gazctl(append, { input: "next" });
    const folder = join(gazette.fileRoot, "test", "bucket");
    await vi.waitFor(() => expect(readdirSync(folder)).toHaveLength(1), 20_000);
  });

  it("leaves no process and no folder behind", async () => {
    const gazette = await startGazette({ etcd });
    await gazette.createJournal("test/left");
    const { pid } = gazette.brokers[0] as { readonly pid: number }; // one broker was started
    await gazette.stop();
    await gazette.stop();
    expect(isGone(pid)).toBe(true);
    expect(existsSync(gazette.fileRoot)).toBe(false);
  });

  it("of three brokers replicates to all, and goes on without the primary", async (test) => {
    const gazette = await startGazette({ etcd, test, brokers: 3, zones: ["here", "there"], leaseSeconds: 3 });
    expect(gazette.brokers.map(({ processId }) => processId.zone)).toEqual(["here", "there", "here"]);
    await gazette.createJournals(["test/all", { name: "test/three", replication: 2 }]);
    const members = (await gazette.listJournals()).map((journal) => [journal.name, journal.members.length]);
    expect(members).toEqual([
      ["test/all", 3],
      ["test/three", 2],
    ]);
    await gazette.gazctl(["journals", "append", "-l", "name=test/three"], { input: "before " });
    const primary = await gazette.primaryOf("test/three");
    await primary.kill("SIGKILL");
    await gazette.waitForAssignment(["test/three"]);
    expect(await gazette.primaryOf("test/three")).not.toBe(primary);
    const insufficient = gazette.gazctl(["journals", "append", "-l", "name=test/all"], { input: "refused" });
    await expect(insufficient).rejects.toThrow(/INSUFFICIENT_JOURNAL_BROKERS/);
    await gazette.gazctl(["journals", "append", "-l", "name=test/three"], { input: "after" });
    const { stdout } = await gazette.gazctl(["journals", "read", "-l", "name=test/three"]);
    expect(stdout.toString()).toBe("before after"); // nothing was persisted: a replica had it
    await primary.restart();
    await gazette.waitForAssignment(["test/all", "test/three"]);
    await gazette.gazctl(["journals", "append", "-l", "name=test/all"], { input: "whole" });
  });

  it("goes on while one member of etcd is gone, its leader too", async () => {
    await using cluster = await startEtcdCluster();
    await using gazette = await startGazette({ etcd: cluster, leaseSeconds: 20 });
    await gazette.createJournal("test/etcd");
    const leader = await leaderOf(cluster);
    await leader.kill("SIGKILL");
    const append = ["journals", "append", "-l", "name=test/etcd"];
    await vi.waitFor(() => gazette.gazctl(append, { input: "content" }), 20_000);
    await gazette.brokers[0]?.restart(); // from another member
    await vi.waitFor(() => gazette.createJournal("test/more"), 20_000);
  });

  it("of two brokers hands journals over when one is asked to leave", async () => {
    await using gazette = await startGazette({ etcd, brokers: 2 });
    await gazette.createJournal({ name: "test/handed", replication: 1 });
    const primary = await gazette.primaryOf("test/handed");
    await primary.kill("SIGTERM");
    expect((await primary.exited).code).toBe(0);
    expect(await gazette.primaryOf("test/handed")).not.toBe(primary);
  });
});

async function leaderOf(cluster: EtcdCluster): Promise<EtcdServer> {
  for (const member of cluster.members) {
    const response = await fetch(`${member.endpoint}/v3/maintenance/status`, { method: "POST", body: "{}" });
    const status = (await response.json()) as { leader: string; header: { member_id: string } };
    if (status.leader === status.header.member_id) return member;
  }
  throw new Error("etcd has no leader");
}

describe("on a machine without a C compiler", () => {
  it("gazette is told to be missing, with what to install", () => {
    const bin = mkdtempSync(join(tmpdir(), "x-harness-test-"));
    try {
      writeFileSync(join(bin, "go"), "");
      chmodSync(join(bin, "go"), 0o755);
      const env = { PATH: bin, X_HARNESS_CACHE: bin };
      const lines: string[] = [];
      const options = { env, onMissing: (line: string) => lines.push(line) };
      expect(requireServer("toxiproxy", options)).toBe(true);
      expect(requireServer("gazette", options)).toBe(false);
      expect(requireServer("gazette-peer", options)).toBe(false);
      expect(lines).toEqual([
        expect.stringMatching(
          /real gazette: .*install Go 1\..* and a C compiler .*apt-get install gcc libc6-dev/,
        ),
        expect.stringMatching(/real gazette-peer: .* C compiler/),
      ]);
      expect(() => requireServer("gazette", { env: { ...env, CI: "true" } })).toThrow(
        /no suite may be skipped/,
      );
      expect(requireServer("gazette", { env: { ...env, CC: join(bin, "go") } })).toBe(true);
    } finally {
      rmSync(bin, { recursive: true });
    }
  });
});
