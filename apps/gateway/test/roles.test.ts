import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { murmur3Mod } from "@x/space";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../harness/src/servers/index.js";
import type { Status } from "../src/http/status.js";
import { Http } from "./support/http.js";
import { type GatewayProcess, startGatewayProcess } from "./support/process.js";

/** A line of the answer for many keys. */
interface KeyLine {
  readonly key: string;
  readonly message?: { readonly data: string } | null;
  readonly error?: { readonly code: string; readonly message: string };
}

describe.skipIf(!requireServer("etcd"))(
  "a gateway and buffers as processes of their own, on real etcd",
  () => {
    let etcd: EtcdServer;
    let folder: string;
    beforeAll(() => buildGoServer(etcdBuild), goBuildTimeoutMs);
    beforeAll(async () => {
      etcd = await startEtcd();
      folder = await mkdtemp(join(tmpdir(), "x-gateway-roles-"));
    }, 60_000);
    afterAll(async () => {
      await etcd.stop();
      await rm(folder, { recursive: true, force: true });
    });

    function start(role: "gateway" | "buffer", more: readonly string[] = []): Promise<GatewayProcess> {
      const flags = ["--role", role, "--etcd", etcd.endpoint, "--lease-ttl-ms", "2000", ...more];
      return startGatewayProcess({ flags, data: folder, name: role });
    }

    it("work together, go on when a buffer is killed, and stop cleanly", { timeout: 60_000 }, async () => {
      await using first = await start("buffer");
      await using second = await start("buffer");
      await using gateway = await start("gateway");
      const http = new Http(gateway.url);
      const topic = await http.createTopic("t");
      const at = await http.subscribe(topic, "s");

      // Each has its share.
      const owners = async (): Promise<Set<string | null>> => {
        const { json } = await http.get(`/v1/topics/${topic}`);
        return new Set(json.ranges?.map(({ buffer }) => buffer));
      };
      let sharing = await owners();
      while (!(sharing.has(first.grpc) && sharing.has(second.grpc))) sharing = await owners();

      const sent: string[] = [];
      const ids: string[] = [];
      const publish = async (count: number): Promise<void> => {
        const lines = Array.from({ length: count }, (_, i) => ({
          key: `k${i % 30}`,
          data: `${sent.length + i}`,
        }));
        const { status, json } = await http.postLines(topic, lines);
        expect(status).toBe(200);
        sent.push(...lines.map(({ data }) => data));
        ids.push(...(json.ids ?? []));
      };
      await publish(300);
      const before = await http.pullCount(at, "me", 100);
      await http.commit(
        at,
        "me",
        before.map(({ ack }) => ack),
      );
      const committed = new Set(before.map(({ id }) => id));

      await first.process.kill("SIGKILL");
      // Its ranges are taken over when its lease has ended; appends wait for that.
      await publish(300);
      expect([...(await owners())]).toEqual([second.grpc]);

      await http.send("DELETE", `${at}/consumers/me`);
      const delivered = new Map<string, string>();
      while (ids.some((id) => !committed.has(id) && !delivered.has(id))) {
        const messages = await http.pull(at, "other", { waitMs: 20_000 });
        expect(messages.length).toBeGreaterThan(0);
        for (const { id, data } of messages) delivered.set(id, data);
        await http.commit(
          at,
          "other",
          messages.map(({ ack }) => ack),
        );
      }
      expect(
        [...delivered.keys()].filter((id) => committed.has(id)),
        "committed is not delivered again",
      ).toEqual([]);

      // A buffer's HTTP has its health and its metrics, and nothing else.
      const buffer = new Http(second.url);
      expect((await buffer.get("/healthz")).json).toEqual({ status: "ok" });
      expect((await buffer.get("/metrics")).text).toContain("process_cpu_seconds_total");
      expect(await buffer.get("/v1/topics")).toMatchObject({
        status: 404,
        json: { error: { code: "no-such-route" } },
      });

      for (const { process } of [gateway, second]) {
        await process.kill("SIGTERM");
        expect(await process.exited).toEqual({ code: 0, signal: undefined });
        expect(await process.log()).not.toMatch(/Warning|error/i);
      }
    });

    it("answer for many keys: those of a stopped buffer late or by name, all others at once", {
      timeout: 60_000,
    }, async () => {
      await using first = await start("buffer");
      await using second = await start("buffer");
      await using gateway = await start("gateway");
      const http = new Http(gateway.url);
      const topic = await http.createTopic("keys");
      interface Ranges {
        readonly ranges?: readonly {
          readonly from: number;
          readonly to: number;
          readonly buffer: string | null;
        }[];
      }
      const ranges = async () => ((await http.get(`/v1/topics/${topic}`)).json as Ranges).ranges ?? [];
      const shared = async (): Promise<boolean> => {
        const owners = new Set((await ranges()).map(({ buffer }) => buffer));
        return owners.has(first.grpc) && owners.has(second.grpc) && !owners.has(null);
      };
      while (!(await shared()));

      const keys = Array.from({ length: 60 }, (_, i) => `key-${i}`);
      const lines = keys.map((key) => ({ key, data: `of ${key}` }));
      expect((await http.postLines(topic, lines)).status).toBe(200);
      const owned = await ranges();
      const ofFirst = new Set(
        keys.filter((key) => {
          const hash = murmur3Mod(key, 65_535);
          return owned.some(({ from, to, buffer }) => hash >= from && hash <= to && buffer === first.grpc);
        }),
      );
      expect(ofFirst.size).toBeGreaterThan(0);
      expect(ofFirst.size).toBeLessThan(keys.length);
      const query = keys.map((key) => `key=${key}`).join("&");
      const read = async (more = ""): Promise<{ line: KeyLine; afterMs: number }[]> => {
        const started = performance.now();
        const response = await fetch(`${gateway.url}/v1/topics/${topic}/keys?${query}${more}`);
        expect(response.status).toBe(200);
        const read: { line: KeyLine; afterMs: number }[] = [];
        let rest = "";
        const decoder = new TextDecoder();
        for await (const bytes of response.body ?? []) {
          rest += decoder.decode(bytes as Uint8Array, { stream: true });
          const parts = rest.split("\n");
          rest = parts.pop() ?? "";
          for (const part of parts)
            read.push({ line: JSON.parse(part) as KeyLine, afterMs: performance.now() - started });
        }
        return read;
      };
      const wrong = (answers: readonly { line: KeyLine }[]) =>
        answers.filter(({ line }) => line.message?.data !== `of ${line.key}`);
      const sorted = (answers: readonly { line: KeyLine }[]) => answers.map(({ line }) => line.key).sort();

      const before = await read();
      expect(sorted(before)).toEqual([...keys].sort());
      expect(wrong(before)).toEqual([]);

      await first.process.kill("SIGSTOP");
      // Not for long: the missing keys are named, each of them and no other.
      const short = await read("&timeoutMs=1000");
      expect(sorted(short)).toEqual([...keys].sort());
      expect(new Set(wrong(short).map(({ line }) => line.key))).toEqual(ofFirst);
      expect(new Set(wrong(short).map(({ line }) => line.error?.code))).toEqual(new Set(["unavailable"]));
      for (const { line } of wrong(short))
        expect(line.error?.message).toContain(`the buffer at ${first.grpc}`);
      // Long enough for another buffer to take the ranges over: the lease of 2 s, and a second (five times that in a test).
      const long = await read("&timeoutMs=15000");
      expect(sorted(long)).toEqual([...keys].sort());
      expect(wrong(long)).toEqual([]);
      const late = long.filter(({ line }) => ofFirst.has(line.key)).map(({ afterMs }) => afterMs);
      const prompt = long.filter(({ line }) => !ofFirst.has(line.key)).map(({ afterMs }) => afterMs);
      expect(Math.max(...prompt)).toBeLessThan(Math.min(...late));
      expect(Math.max(...prompt)).toBeLessThan(1_000);
      await first.process.kill("SIGKILL");
    });

    it("show in the status that a stopped buffer is unwell, and that it is well again when it goes on", {
      timeout: 60_000,
    }, async () => {
      // Longer than the test: its registration stays.
      const lease = ["--lease-ttl-ms", "60000"];
      await using first = await start("buffer", lease);
      await using second = await start("buffer", lease);
      await using gateway = await start("gateway");
      const http = new Http(gateway.url);
      const status = async (): Promise<Status> => JSON.parse((await http.get("/v1/status")).text);
      const healthOf = async ({ grpc }: GatewayProcess) =>
        (await status()).buffers.find(({ address }) => address === grpc)?.health;
      // The goal is a second, and a test gives five; what has no goal has as long as it takes.
      const soon = { timeout: 5_000, interval: 50 };
      const later = { timeout: 25_000, interval: 50 };
      const bothWell = async () => {
        const { registry } = await status();
        return registry.servers === 2 && registry.healthy === 2;
      };
      await expect.poll(bothWell, later).toBe(true);
      const topic = await http.createTopic("seen");
      const owners = async () => {
        const { topics } = await status();
        const ranges = topics.find(({ name }) => name === topic)?.ranges;
        return new Set(ranges?.map(({ buffer }) => buffer));
      };
      await expect.poll(owners, later).toEqual(new Set([first.grpc, second.grpc]));

      await first.process.kill("SIGSTOP");
      await expect.poll(async () => (await healthOf(first))?.healthy, soon).toBe(false);
      expect(await healthOf(first)).toMatchObject({
        state: "silent",
        reasons: expect.arrayContaining(["silent"]),
      });
      await expect.poll(async () => (await healthOf(first))?.lastError, later).toBe("no answer in 500 ms");
      expect(await healthOf(second)).toMatchObject({ healthy: true, state: "healthy", reasons: [] });
      expect((await status()).registry).toMatchObject({ servers: 2, healthy: 1, unhealthy: 1, panic: "off" });
      // Nobody waits for it: to read the status is to ask every buffer but this one.
      await expect
        .poll(async () => {
          const started = performance.now();
          await status();
          return performance.now() - started;
        }, later)
        .toBeLessThan(500);

      await first.process.kill("SIGCONT");
      await expect.poll(async () => (await healthOf(first))?.state, soon).toBe("healthy");
      expect(await healthOf(first)).toMatchObject({ healthy: true, reasons: [], lastError: null });
      const log = await gateway.process.log();
      expect(log).toContain(`the buffer at ${first.grpc} is unwell: silent`);
      expect(log).toContain(`the buffer at ${first.grpc} is well again`);

      // One that stops as it should is not seen as unwell, but gone.
      await second.process.kill("SIGTERM");
      expect(await second.process.exited).toEqual({ code: 0, signal: undefined });
      await expect
        .poll(async () => (await status()).buffers.map(({ address }) => address), later)
        .toEqual([first.grpc]);
    });

    it("stop within 5 s also when etcd is gone", { timeout: 60_000 }, async () => {
      await using buffer = await start("buffer");
      await using gateway = await start("gateway");
      await etcd.kill("SIGKILL");
      await Promise.all(
        [gateway, buffer].map(async ({ process }) => {
          const started = performance.now();
          await process.kill("SIGTERM");
          await process.exited;
          expect(performance.now() - started).toBeLessThan(25_000); // five times as long on a busy machine
        }),
      );
      await etcd.restart();
    });
  },
);
