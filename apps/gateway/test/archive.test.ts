import { access, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { directoryStore } from "@x/blob-replica";
import type { TopicClient } from "@x/topic-gateway";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  requireServer,
  startEtcd,
  startVersitygw,
  type VersitygwServer,
} from "../../harness/src/servers/index.js";
import type { Status } from "../src/http/status.js";
import { startGateway } from "./support/gateway.js";
import { type Delivered, Http } from "./support/http.js";
import { type GatewayProcess, run, startGatewayProcess } from "./support/process.js";

const SMALL = ["--segment-max-bytes", "65536"];
const soon = { timeout: 20_000, interval: 50 };

/** The refs of the blobs in a folder. */
async function blobsIn(folder: string): Promise<string[]> {
  const entries = await readdir(join(folder, "blobs"), { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  return entries
    .filter((entry) => entry.isFile() && /^[0-9a-f]{64}$/.test(entry.name))
    .map(({ name }) => name)
    .sort();
}

const statusOf = async (http: Http): Promise<Status> => JSON.parse((await http.get("/v1/status")).text);

/** Publishes so much that several segments are sealed; what was acknowledged, by id. */
async function publish(http: Http, topic: string, from: number, count: number): Promise<Map<string, string>> {
  const sent = new Map<string, string>();
  for (let at = from; at < from + count; at += 50) {
    const lines = Array.from({ length: 50 }, (_, i) => ({
      key: `k${i}`,
      data: `${at + i} `.padEnd(1_000, "."),
    }));
    const { status, json } = await http.postLines(topic, lines);
    expect(status).toBe(200);
    for (const [i, id] of (json.ids ?? []).entries()) sent.set(id, lines[i]?.data as string);
  }
  return sent;
}

function expectAll(messages: readonly Delivered[], sent: ReadonlyMap<string, string>): void {
  const got = new Map(messages.map(({ id, data }) => [id, data]));
  expect([...sent].filter(([id, data]) => got.get(id) !== data)).toEqual([]);
}

async function archivedSegments(client: TopicClient, topic: string): Promise<number> {
  const { segments } = await client.describe(topic);
  return segments.filter(({ state }) => state === "archived").length;
}

describe("the archive of a gateway process", { timeout: 90_000 }, () => {
  let data: string;
  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), "x-gateway-archive-"));
  });
  afterEach(() => rm(data, { recursive: true, force: true }));
  const folders = () => ["1", "2"].map((name) => join(data, "archive", name));

  /** Until both folders have the same blobs, for a while. */
  async function settledBlobs(least: number): Promise<string[]> {
    let before: string[] = [];
    await expect
      .poll(
        async () => {
          const [one = [], two = []] = await Promise.all(folders().map(blobsIn));
          const isSame = one.length >= least && one.join() === two.join() && one.join() === before.join();
          before = one;
          return isSame;
        },
        { timeout: 20_000, interval: 300 },
      )
      .toBe(true);
    return before;
  }

  it("has what it sealed in both folders, also when it is killed in the middle, and reads it from there when the logs are gone", async () => {
    const flags = [...SMALL, "--archive-collect-ms", "500", "--buffers", "1"];
    await using gateway = await startGatewayProcess({ data, flags });
    const http = new Http(gateway.url);
    const topic = await http.createTopic("t", 16);
    const sent = new Map<string, string>();
    let lastStartMs = 0;
    for (let round = 0; round < 4; round++) {
      for (const [id, text] of await publish(http, topic, round * 500, 500)) sent.set(id, text);
      // While segments are on their way to the archive.
      await gateway.process.kill("SIGKILL");
      lastStartMs = Date.now();
      await gateway.process.restart();
    }
    // Nothing names this one. It stands for what a killed process has left.
    for (const folder of folders()) await directoryStore(folder).put(Buffer.from("garbage"));
    const segments = async (): Promise<readonly { readonly state: string; readonly messages: number }[]> =>
      JSON.parse((await http.get(`/v1/topics/${topic}`)).text).segments;
    const isOpen = ({ state }: { readonly state: string }): boolean => state === "open";
    await expect
      .poll(async () => (await segments()).filter(({ state }) => state !== "archived").every(isOpen), soon)
      .toBe(true);
    const archived = (await segments()).filter((segment) => !isOpen(segment));
    expect(archived.length).toBeGreaterThan(10);
    // A manifest each, and a chunk if there is a message.
    const wanted = archived.reduce((sum, { messages }) => sum + (messages > 0 ? 2 : 1), 0);
    for (const folder of folders())
      await expect.poll(async () => (await blobsIn(folder)).length, soon).toBe(wanted);
    const { archive } = await statusOf(http);
    expect(archive).toEqual({
      kind: "blob",
      stores: folders().map((name) => ({
        name,
        kind: "directory",
        healthy: true,
        backlog: 0,
        backlogBytes: 0,
        oldestMs: 0,
        lastError: null,
      })),
    });
    expect((await http.get("/metrics")).text).toContain(
      `topic_archive_store_healthy{store="${folders()[0]}"} 1`,
    );

    // Everything but what this process has opened is archived: the logs of the processes before may go, and one of the folders with them.
    const logs = join(data, "segments", "logs", topic);
    await gateway.process.kill("SIGKILL");
    let removed = 0;
    for (const name of await readdir(logs)) {
      if ((await stat(join(logs, name))).mtimeMs >= lastStartMs) continue;
      await rm(join(logs, name));
      removed += 1;
    }
    expect(removed).toBeGreaterThan(10);
    await rm(folders()[0] as string, { recursive: true });
    await gateway.process.restart();
    const at = await http.subscribe(topic, "s");
    expectAll(await http.readUntil(at, "me", sent.keys()), sent);
    // And it is filled again, with what nobody reads as well.
    await expect
      .poll(async () => {
        const [one = [], two = []] = await Promise.all(folders().map(blobsIn));
        return one.length >= wanted && one.join() === two.join();
      }, soon)
      .toBe(true);
  });

  it("is not read as files when it has blobs, and reads files that were there before", async () => {
    const local = ["--archive", "local", ...SMALL];
    let sent = new Map<string, string>();
    {
      await using gateway = await startGatewayProcess({ data, flags: local });
      const http = new Http(gateway.url);
      await http.createTopic("t", 16);
      sent = await publish(http, "t", 0, 400);
      const files = join(data, "archive", "segments", "t");
      await expect
        .poll(async () => (await readdir(files, { recursive: true }).catch(() => [])).length, soon)
        .toBeGreaterThanOrEqual(3);
      expect((await statusOf(http)).archive).toEqual({ kind: "local", stores: [] });
    }
    {
      await using gateway = await startGatewayProcess({ data, flags: SMALL });
      const http = new Http(gateway.url);
      for (const [id, text] of await publish(http, "t", 400, 400)) sent.set(id, text);
      await settledBlobs(4);
      const at = await http.subscribe("t", "s");
      expectAll(await http.readUntil(at, "me", sent.keys()), sent);
    }
    const anywhere = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    const { code, stdout, stderr } = await run(["serve", ...anywhere, "--data", data, ...local]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^error: segments of these topics are archived as blobs \(t\/\d+\/\d+_0-65535 is one\), which --archive local can't read: start without it\n$/,
    );
  });

  it.each<[string, string[], RegExp]>([
    ["an unknown kind", ["--archive", "tape"], /Allowed choices are blob, local/],
    [
      "the same folder twice",
      ["--archive-dir", "a", "--archive-dir", "./a"],
      /has \/\S+\/a twice: each copy needs/,
    ],
    ["no folder", ["--archive-dir", "a,,b"], /"a,,b" names no folder/],
    ["no bucket", ["--archive-s3", "s3:///x"], /"s3:\/\/\/x" is not a place such as s3:\/\/bucket\/prefix/],
    ["another scheme", ["--archive-s3", "http://b/x"], /is not a place such as/],
    ["an endpoint alone", ["--archive-s3-endpoint", "http://127.0.0.1:1"], /need --archive-s3/],
    [
      "an endpoint that is none",
      ["--archive-s3", "s3://bucket", "--archive-s3-endpoint", "127.0.0.1:9000"],
      /is not the URL of an S3 server such as http:\/\/127.0.0.1:9000/,
    ],
    [
      "folders of files",
      ["--archive", "local", "--archive-dir", "a"],
      /--archive-dir and --archive-s3 are for --archive blob/,
    ],
  ])("refuses %s in one line", async (_, flags, says) => {
    const { code, stdout, stderr } = await run(["serve", ...flags], { cwd: data });
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(await readdir(data)).toEqual([]);
  });

  it("says in one line that a folder can't be had", async () => {
    const anywhere = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", data];
    const { code, stderr } = await run(["serve", ...anywhere, "--archive-dir", "/dev/null/x"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: can't keep archived segments in \/dev\/null\/x; --archive-dir takes another folder \([^\n]+\)\n$/,
    );
  });
});

describe("a folder of the archive", { timeout: 30_000 }, () => {
  const anywhere = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
  let data: string;
  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), "x-gateway-archive-"));
  });
  afterEach(() => rm(data, { recursive: true, force: true }));

  it("is refused when its cluster has lost its records: all of it would be garbage", async () => {
    {
      await using gateway = await startGatewayProcess({ data });
      await new Http(gateway.url).createTopic("t", 16);
    }
    await rm(join(data, "coord"), { recursive: true });
    const { code, stderr } = await run(["serve", ...anywhere, "--data", data]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: \S+\/archive\/1 has the archive of the cluster \S+, and this is \S+: what has no record here would be deleted from it; [^\n]+\n$/,
    );
  });

  it("is refused when somebody else has blobs in it, and they stay", async () => {
    const other = join(data, "other");
    const { ref } = await directoryStore(other).put(Buffer.from("somebody's"));
    const { code, stderr } = await run([
      "serve",
      ...anywhere,
      "--data",
      join(data, "d"),
      "--archive-dir",
      other,
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: \S+\/other has blobs of somebody else: [^\n]+\n$/);
    expect(await blobsIn(other)).toEqual([ref]);
  });
});

describe("a tail from the earliest message", { timeout: 60_000 }, () => {
  it("goes through the archive to what is still with the buffers", async () => {
    await using gateway = await startGateway({ buffers: 1, segmentMaxBytes: 65_536 });
    const http = new Http(gateway.url);
    const topic = await http.createTopic("t", 16);
    const sent = await publish(http, topic, 0, 500);
    await expect.poll(() => archivedSegments(gateway.client, topic), soon).toBeGreaterThan(2);
    const left = new Set(sent.keys());
    for await (const { id, data } of gateway.client.tail(topic, { from: "earliest" })) {
      expect(Buffer.from(data).toString()).toBe(sent.get(id));
      left.delete(id);
      if (left.size === 0) break;
    }
    expect(gateway.errors).toEqual([]);
  });
});

describe.skipIf(!requireServer("etcd"))(
  "buffers and a gateway as processes of their own",
  { timeout: 120_000 },
  () => {
    it("share the folders; each buffer has a queue of its own, and the gateway has none", async () => {
      const data = await mkdtemp(join(tmpdir(), "x-gateway-archive-"));
      await using etcd = await startEtcd();
      const start = (role: string, more: readonly string[] = []): Promise<GatewayProcess> =>
        startGatewayProcess({
          name: role,
          data,
          flags: ["--role", role, "--etcd", etcd.endpoint, ...SMALL, ...more],
          env: { AWS_ACCESS_KEY_ID: "none", AWS_SECRET_ACCESS_KEY: "none" },
        });
      // Nobody is there: the bucket is far behind, and nothing else minds.
      const far = ["--archive-s3", "s3://bucket", "--archive-s3-endpoint", "http://127.0.0.1:1"];
      await using first = await start("buffer", far);
      await using second = await start("buffer", far);
      await using gateway = await start("gateway", far);
      const http = new Http(gateway.url);
      const topic = await http.createTopic("t", 15);
      const sent = await publish(http, topic, 0, 1_000);
      const archived = async (): Promise<number> => {
        const text = (await http.get(`/v1/topics/${topic}`)).text;
        return text.split('"archived"').length - 1;
      };
      await expect.poll(archived, soon).toBeGreaterThan(5);
      expect((await readdir(join(data, "archive", "queue"))).sort()).toEqual(["1", "2"]);
      const { stores } = (await statusOf(http)).archive;
      expect(stores.map(({ name }) => name)).toEqual(["1", "2"].map((name) => join(data, "archive", name)));
      for (const { url } of [first, second]) {
        const { text } = await new Http(url).get("/metrics");
        expect(text).toMatch(/^topic_archive_store_healthy\{store="s3:\/\/bucket\/"\} [01]/m);
      }
      const at = await http.subscribe(topic, "s");
      expectAll(await http.readUntil(at, "me", sent.keys()), sent);
      for (const { process } of [gateway, second, first]) {
        await process.kill("SIGTERM");
        expect(await process.exited).toEqual({ code: 0, signal: undefined });
      }
      // Those of the buffers that are gone are taken again.
      await using third = await start("buffer", far);
      expect((await readdir(join(data, "archive", "queue"))).sort()).toEqual(["1", "2"]);
      await third.process.kill("SIGTERM");
      await third.process.exited;
      await rm(data, { recursive: true, force: true });
    });
  },
);

describe.skipIf(!requireServer("versitygw"))("the archive with a bucket", { timeout: 120_000 }, () => {
  let s3: VersitygwServer;
  let data: string;
  beforeEach(async () => {
    s3 = await startVersitygw();
    data = await mkdtemp(join(tmpdir(), "x-gateway-archive-"));
  }, 300_000);
  afterEach(async () => {
    await s3.stop();
    await rm(data, { recursive: true, force: true });
  });

  function start(): Promise<GatewayProcess> {
    return startGatewayProcess({
      data,
      flags: [...SMALL, "--archive-s3", "s3://history/topics", "--archive-s3-endpoint", s3.endpoint],
      env: { AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey, AWS_REGION: s3.region },
    });
  }
  const local = (): Promise<string[]> => blobsIn(join(data, "archive", "1"));
  const inBucket = async (): Promise<string[]> =>
    (await readdir(join(s3.bucketFolder("history"), "topics")).catch(() => []))
      .filter((name) => /^[0-9a-f]{64}$/.test(name))
      .sort();
  async function complete(): Promise<void> {
    await expect
      .poll(async () => {
        const [here, there] = await Promise.all([local(), inBucket()]);
        return here.length > 0 && here.join() === there.join();
      }, soon)
      .toBe(true);
  }

  it("gets every manifest and chunk: what was there before, what came while it was away, and what a killed process owed it", async () => {
    await s3.createBucket("history");
    {
      // Archived before there was a bucket.
      await using gateway = await startGatewayProcess({ data, flags: SMALL });
      const http = new Http(gateway.url);
      await http.createTopic("t", 16);
      await publish(http, "t", 0, 400);
      await expect.poll(async () => (await local()).length, soon).toBeGreaterThanOrEqual(4);
    }
    await using gateway = await start();
    const http = new Http(gateway.url);
    await complete();

    const bucket = async () => (await statusOf(http)).archive.stores.find(({ kind }) => kind === "s3");
    expect(await bucket()).toMatchObject({ name: "s3://history/topics/", healthy: true, backlog: 0 });
    await s3.kill("SIGKILL");
    await publish(http, "t", 400, 600);
    await expect.poll(async () => (await bucket())?.backlog, soon).toBeGreaterThan(4);
    await expect.poll(async () => (await bucket())?.healthy, soon).toBe(false);
    expect((await bucket())?.lastError).toBeTruthy();
    expect((await http.get("/metrics")).text).toMatch(
      /^topic_archive_backlog_blobs\{store="s3:\/\/history\/topics\/"\} [1-9]/m,
    );
    // Appends and reads do not know of it.
    const sent = await publish(http, "t", 1_000, 50);
    const at = await http.subscribe("t", "s");
    expectAll(await http.readUntil(at, "me", sent.keys()), sent);

    await gateway.process.kill("SIGKILL");
    await s3.restart();
    await gateway.process.restart();
    await complete();
    await expect.poll(async () => (await bucket())?.backlog, soon).toBe(0);
    expect(await access(join(data, "archive", "queue", "1", "queue"))).toBeUndefined();

    // One that takes connections and answers nothing does not keep the process from stopping.
    await s3.kill("SIGSTOP");
    await publish(http, "t", 1_050, 200);
    await expect.poll(async () => (await bucket())?.backlog, soon).toBeGreaterThan(0);
    const started = performance.now();
    await gateway.process.kill("SIGTERM");
    expect(await gateway.process.exited).toEqual({ code: 0, signal: undefined });
    expect(performance.now() - started).toBeLessThan(25_000); // five times what it may be: the machine may be busy
    await s3.kill("SIGCONT");
  });
});
