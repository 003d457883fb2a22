import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  askGazettePeer,
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  type GazettePeerFigures,
  gazettePeerBuild,
  goBuildTimeoutMs,
  makeCertificates,
  requireServer,
  runGazettePeer,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";

const missing = !requireServer("etcd") || !requireServer("gazette") || !requireServer("gazette-peer");

interface Told {
  readonly op: string;
  readonly journal: string;
  readonly uuid?: string;
  readonly producer?: string;
  readonly clock?: string;
  readonly flags?: number;
  readonly message?: unknown;
}

const lines = (...steps: readonly unknown[]): string =>
  steps.map((step) => `${JSON.stringify(step)}\n`).join("");

const contentTypes = {
  json: "application/x-ndjson",
  protobuf: "application/x-protobuf-fixed",
} as const;

describe.skipIf(missing)("the Go peer", { timeout: 120_000 }, () => {
  let etcd: EtcdServer;
  let gazette: GazetteCluster;
  let folder = "";
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette(); // before the peer, which is made of the same packages
    await buildGoServer(gazettePeerBuild);
    folder = mkdtempSync(join(tmpdir(), "x-harness-test-"));
    etcd = await startEtcd();
    gazette = await startGazette({ etcd });
  }, 3 * goBuildTimeoutMs);
  afterAll(async () => {
    await gazette?.stop();
    await etcd?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("appends what gazctl and it itself read back", async () => {
    await gazette.createJournal("peer/append");
    const content = randomBytes(300_000);
    const file = join(folder, "in");
    writeFileSync(file, content);
    const append = ["append", "-journal", "peer/append", "-file", file];
    expect(await askGazettePeer(append, { gazette })).toEqual([
      { journal: "peer/append", begin: 0, end: 300_000, registers: {} },
    ]);
    const { stdout } = await gazette.gazctl(["journals", "read", "-l", "name=peer/append"]);
    expect(stdout.equals(content)).toBe(true);
    const part = await runGazettePeer(
      ["read", "-journal", "peer/append", "-offset", "1000", "-end", "200000"],
      {
        gazette,
      },
    );
    expect(part.stdout.equals(content.subarray(1000, 200_000))).toBe(true);
    const out = join(folder, "out");
    expect(await askGazettePeer(["read", "-journal", "peer/append", "-out", out], { gazette })).toEqual([
      {
        journal: "peer/append",
        begin: 0,
        offset: 300_000,
        bytes: 300_000,
        direct: 0,
        sha256: createHash("sha256").update(content).digest("hex"),
        jumps: [],
      },
    ]);
    expect(readFileSync(out).equals(content)).toBe(true);
  });

  it("appends under registers, and is refused when they do not match", async () => {
    await gazette.createJournal("peer/registers");
    const append = ["append", "-journal", "peer/registers"];
    const first = await askGazettePeer([...append, "-union", "owner=one"], { gazette, input: "a" });
    expect(first).toMatchObject([{ registers: { owner: ["one"] } }]);
    const refused = runGazettePeer([...append, "-check", "owner=two"], { gazette, input: "b" });
    await expect(refused).rejects.toThrow(/REGISTER_MISMATCH/);
    const { stdout } = await runGazettePeer(["read", "-journal", "peer/registers"], { gazette });
    expect(stdout.toString()).toBe("a");
  });

  it.each(["NONE", "GZIP", "SNAPPY", "ZSTANDARD"] as const)(
    "reads fragments of %s by their URLs",
    async (codec) => {
      const journal = `peer/direct-${codec.toLowerCase()}`;
      await gazette.createJournal({ name: journal, codec, fragmentBytes: 1024, refreshSeconds: 1 });
      const content = randomBytes(5_000);
      await runGazettePeer(["append", "-journal", journal], { gazette, input: content });
      await runGazettePeer(["append", "-journal", journal], { gazette, input: "tail" });
      const out = join(folder, "direct");
      const read = ["read", "-journal", journal, "-direct", "-file-root", gazette.fileRoot, "-out", out];
      await vi.waitFor(async () => {
        // The brokers tell URLs of what they have seen in the store, which they list every second.
        expect(await askGazettePeer(read, { gazette })).toMatchObject([{ bytes: 5_004, direct: 5_000 }]);
      }, 20_000);
      expect(readFileSync(out).equals(Buffer.concat([content, Buffer.from("tail")]))).toBe(true);
    },
  );

  it.each(["json", "protobuf"] as const)(
    "publishes a transaction over two journals in %s",
    async (framing) => {
      const labels = [{ name: "content-type", value: contentTypes[framing] }];
      const [one, two] = [`peer/${framing}-one`, `peer/${framing}-two`];
      await gazette.createJournals([one, two].map((name) => ({ name, labels })));
      const script = lines(
        { op: "uncommitted", journal: one, message: { text: "first" } },
        { op: "uncommitted", journal: two, message: { text: "second" } },
        { op: "ack" },
        { op: "committed", journal: one, message: { text: "third" } },
        { op: "uncommitted", journal: two, message: { text: "never" } },
        { op: "intents" },
      );
      const told = await askGazettePeer<Told>(["publish", "-clock", "16000"], { gazette, input: script });
      expect(told.map(({ op, journal, clock, flags }) => [op, journal, clock, flags])).toEqual([
        ["uncommitted", one, "16160", 1],
        ["uncommitted", two, "16320", 1],
        ["ack", one, undefined, undefined],
        ["ack", two, undefined, undefined],
        ["committed", one, "16800", 0],
        ["uncommitted", two, "16960", 1],
        ["intents", two, undefined, undefined],
      ]);
      const producers = new Set(told.flatMap(({ producer }) => producer ?? []));
      expect(producers.size).toBe(1);
      const read = ["read-committed", "-journal", `${one},${two}`];
      const committed = await askGazettePeer<Told>(read, { gazette });
      expect(committed.map(({ journal, flags, message }) => [journal, flags, message])).toEqual([
        [one, 1, { text: "first" }],
        [one, 2, {}],
        [one, 0, { text: "third" }],
        [two, 1, { text: "second" }],
        [two, 2, {}],
      ]);
      const all = await askGazettePeer<Told>([...read, "-uncommitted"], { gazette });
      expect(all.map(({ message }) => message)).toContainEqual({ text: "never" });
      expect(all).toHaveLength(6);
    },
  );

  it("lists by a selector", async () => {
    await gazette.createJournal({ name: "peer/listed", labels: [{ name: "list", value: "me" }] });
    expect(await askGazettePeer(["list", "-selector", "list=me"], { gazette })).toEqual([
      {
        name: "peer/listed",
        replication: 1,
        modRevision: expect.any(Number),
        createRevision: expect.any(Number),
        labels: { list: ["me"] },
        primary: gazette.brokers[0]?.processId.suffix,
        members: [`local/${gazette.brokers[0]?.processId.suffix}`],
        endpoints: [gazette.endpoint],
      },
    ]);
  });

  it("builds and parses UUIDs", async () => {
    const build = ["uuid", "-producer", "090807060504", "-clock", "1152921504606846975", "-flags", "1023"];
    const [built] = await askGazettePeer<Told>(build);
    expect(built).toMatchObject({
      uuid: "ffffffff-ffff-10ff-bfff-090807060504",
      producer: "090807060504",
      clock: "1152921504606846975",
      flags: 1023,
    });
    expect(await askGazettePeer(["uuid", "-parse", built?.uuid ?? ""])).toEqual([built]);
    await expect(runGazettePeer(["uuid", "-producer", "09", "-clock", "1"])).rejects.toThrow(/six bytes/);
  });

  it("measures appends and reads", async () => {
    await gazette.createJournal({ name: "peer/bench", fragmentBytes: 1 << 20, refreshSeconds: 1 });
    const bench = async (mode: string, ...flags: readonly string[]): Promise<GazettePeerFigures> => {
      const args = ["bench", mode, "-journal", "peer/bench", ...flags];
      const [figures] = await askGazettePeer<GazettePeerFigures>(args, { gazette });
      if (figures === undefined) throw new Error(`${mode} printed nothing`);
      expect(figures.seconds).toBeGreaterThan(0);
      expect(figures.p99Ms).toBeGreaterThanOrEqual(figures.p50Ms);
      expect(figures.p50Ms).toBeGreaterThan(0);
      expect(figures.cpuSeconds).toBeGreaterThan(0);
      return figures;
    };
    expect(await bench("append-service", "-size", "100", "-count", "2000")).toMatchObject({
      ops: 2000,
      bytes: 200_000,
    });
    expect(await bench("append-sync", "-size", "100", "-count", "5")).toMatchObject({ ops: 5, bytes: 500 });
    expect(await bench("appender", "-bytes", "3000001")).toMatchObject({ ops: 1, bytes: 3_000_001 });
    await runGazettePeer(["append", "-journal", "peer/bench"], { gazette, input: "closes the fragment" });
    const head = 200_000 + 500 + 3_000_001 + 19;
    const read = await bench("read", "-sum");
    await vi.waitFor(async () => {
      const direct = await bench("fragments", "-sum", "-file-root", gazette.fileRoot);
      expect(direct).toMatchObject({ bytes: head, directBytes: head - 19, sha256: read.sha256 });
    }, 20_000);
    expect(read.bytes).toBe(head);
  });

  it.each([false, true])(
    "talks TLS to brokers that do so too, with client certificates: %s",
    async (clientCertificates) => {
      const tls = { ...(await makeCertificates(folder)), clientCertificates };
      await using secure = await startGazette({ etcd, tls, brokers: 2 });
      expect(secure.endpoint).toMatch(/^https:/);
      await secure.createJournal("peer/secure");
      await runGazettePeer(["append", "-journal", "peer/secure"], { gazette: secure, input: "content" });
      const { stdout } = await secure.gazctl(["journals", "read", "-l", "name=peer/secure"]);
      expect(stdout.toString()).toBe("content");
      if (!clientCertificates) return;
      const anonymous = new Promise<unknown>((resolve, reject) => {
        const ca = readFileSync(tls.caFile);
        get(`${secure.endpoint}/debug/ready`, { ca, agent: false }, resolve).on("error", reject);
      });
      await expect(anonymous).rejects.toThrow(/certificate required/);
    },
  );

  it("says what went wrong", async () => {
    await expect(runGazettePeer(["nonsense"])).rejects.toThrow(/no command "nonsense"/);
    const nowhere = runGazettePeer(["list", "-selector", "a b c"], { gazette });
    await expect(nowhere).rejects.toMatchObject({ code: "request-failed" });
  });
});
