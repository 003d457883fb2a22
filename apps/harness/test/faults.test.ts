import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkHistory, formatViolation } from "../src/checker/index.js";
import { type BufferProcess, type CitiesRun, runCities } from "../src/faults/cities-run.js";
import { requireServer, startEtcd, startProcess } from "../src/servers/index.js";

const LEASE_TTL_MS = 2_000;
const CITIES = 171_075;
const built = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const gateway = built("../../gateway/dist/main.js");
const unfenced = built("../dist/faults/unfenced-buffer.js");

describe.skipIf(!requireServer("etcd"))(
  "all the cities, one buffer killed and another stopped",
  { timeout: 240_000 },
  () => {
    let stack: AsyncDisposable[] = [];
    let data: string;

    beforeEach(async () => {
      data = await mkdtemp(join(tmpdir(), "x-cities-"));
    });
    afterEach(async () => {
      for (const one of stack.reverse()) await one[Symbol.asyncDispose]();
      stack = [];
      await rm(data, { recursive: true, force: true });
    });

    async function run(
      startVictim: (endpoint: string) => Promise<BufferProcess>,
      limit?: number,
    ): Promise<CitiesRun> {
      const etcd = await startEtcd({ args: ["--heartbeat-interval=10", "--election-timeout=100"] });
      stack.push(etcd);
      return await runCities({
        etcdEndpoint: etcd.endpoint,
        dataDirectory: data,
        leaseTtlMs: LEASE_TTL_MS,
        startBuffer: () => fencedBuffer(etcd.endpoint),
        startVictim: () => startVictim(etcd.endpoint),
        ...(limit !== undefined && { limit }),
      });
    }

    async function fencedBuffer(endpoint: string): Promise<BufferProcess> {
      const args = [
        "serve",
        "--role",
        "buffer",
        "--etcd",
        endpoint,
        "--data",
        data,
        "--grpc",
        "127.0.0.1:0",
        "--http",
        "127.0.0.1:0",
        // The victim and the reader of the history are no gateways: they have files, and no blobs.
        "--archive",
        "local",
      ];
      const limits = ["--lease-ttl-ms", String(LEASE_TTL_MS), "--segment-max-bytes", String(2 * 1024 * 1024)];
      return await buffer(gateway, [...args, ...limits]);
    }

    async function buffer(script: string, args: string[]): Promise<BufferProcess> {
      const process = await startProcess(script, {
        name: "buffer",
        ready: /READY .*grpc=(\S+) pid=\d+/,
        args,
      });
      stack.push(process);
      const [, address = ""] = await process.ready();
      return { address, kill: (signal) => process.kill(signal) };
    }

    it("nothing acknowledged is lost, and every promise of the protocol is kept", async () => {
      const { history, lateSender } = await run((endpoint) => fencedBuffer(endpoint));
      expect(checkHistory(history).map(formatViolation)).toEqual([]);
      const loaded = history.publishes.filter(({ producer }) => producer.startsWith("loader"));
      expect(loaded).toHaveLength(CITIES);
      expect(loaded.filter(({ outcome }) => outcome !== "acked")).toEqual([]);
      expect(lateSender.acked).toBeGreaterThan(0);
      expect(lateSender.refusal).toBeDefined();
      // The run is worth nothing if the ranges did not change hands, or if one consumer read it all.
      expect(new Set(history.deliveries.map(({ session }) => session)).size).toBe(2);
    });

    it("with the fences taken out of the stopped one, the checker finds what it acknowledged and lost", async () => {
      const { history } = await run(
        (endpoint) => buffer(unfenced, [endpoint, data, String(LEASE_TTL_MS)]),
        20_000,
      );
      expect(checkHistory(history).map(({ invariant }) => invariant)).toContain(1);
    });
  },
);
