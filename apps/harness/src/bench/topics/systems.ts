import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  requireServer,
  type ServerName,
  type ServerProcess,
  startEtcd,
  startNats,
  startProcess,
  startRedis,
} from "../../servers/index.js";
import type { SystemAddress } from "./drivers.js";

export type SystemName = SystemAddress["system"];

/** A running system: what serves it, and how its client finds it. */
export interface System {
  readonly name: SystemName;
  /** As in the table. */
  readonly label: string;
  readonly address: SystemAddress;
  readonly processes: readonly { readonly name: string; readonly server: ServerProcess }[];
  /** Versions, flags and how its client is used. */
  readonly setup: string;
}

export interface StartOptions {
  /** Everything started is given to this, which stops it. */
  readonly use: (stop: () => Promise<void>) => void;
  readonly profileDirectory: string | undefined;
  readonly signal: AbortSignal;
}

interface Kind {
  readonly label: string;
  readonly needs: readonly ServerName[];
  start(options: StartOptions): Promise<Omit<System, "name" | "label">>;
}

const IN_FLIGHT = "1,000 publishes in flight, or 16 batches of 64";
const RANGE_SIZE_FACTOR = 16;
const BUFFERS = 1;

const gatewayProgram = fileURLToPath(new URL("../../../../gateway/dist/main.js", import.meta.url));
const rawLogProgram = fileURLToPath(new URL("../raw-log.js", import.meta.url));

/** In the order in which they take turns. */
const kinds: Readonly<Record<SystemName, Kind>> = {
  ours: { label: "ours", needs: ["etcd"], start: startOurs },
  redis: { label: "Redis Streams", needs: ["redis"], start: startRedisStreams },
  nats: { label: "NATS JetStream", needs: ["nats"], start: startJetStream },
  raw: { label: "raw TCP log", needs: [], start: startRawLog },
};

export const systemNames: readonly SystemName[] = ["ours", "redis", "nats", "raw"];

export function labelOf(name: SystemName): string {
  return kinds[name].label;
}

/** Why a system cannot run here, undefined if it can. With CI set, a missing server is thrown. */
export function whyMissing(name: SystemName): string | undefined {
  let why: string | undefined;
  for (const server of kinds[name].needs) {
    requireServer(server, { onMissing: (line) => (why ??= line) });
  }
  if (name === "ours" && !existsSync(gatewayProgram)) why ??= `${gatewayProgram} is not built`;
  return why;
}

export async function startSystem(name: SystemName, options: StartOptions): Promise<System> {
  const { label, start } = kinds[name];
  return { name, label, ...(await start(options)) };
}

async function startOurs({
  use,
  profileDirectory,
  signal,
}: StartOptions): Promise<Omit<System, "name" | "label">> {
  const data = await mkdtemp(join(tmpdir(), "x-bench-ours-"));
  use(() => rm(data, { recursive: true, force: true }));
  const etcd = await startEtcd({ signal });
  use(() => etcd.stop());
  const processes: { name: string; server: ServerProcess }[] = [{ name: "etcd", server: etcd }];
  const loopback = "127.0.0.1:0";
  for (let i = 1; i <= BUFFERS; i++) {
    const buffer = await startProcess(gatewayProgram, {
      name: `buffer-${i}`,
      ready: /^READY .*pid=\d+$/,
      nodeArgs: profileFlags(profileDirectory),
      args: [
        "serve",
        "--role",
        "buffer",
        "--etcd",
        etcd.endpoint,
        "--grpc",
        loopback,
        "--http",
        loopback,
        "--data",
        data,
        "--archive",
        "local",
      ],
      signal,
    });
    use(() => buffer.stop());
    processes.push({ name: BUFFERS === 1 ? "buffer" : `buffer ${i}`, server: buffer });
  }
  const archive = join(data, "archive");
  return {
    address: { system: "ours", etcd: etcd.endpoint, archive, rangeSizeFactor: RANGE_SIZE_FACTOR },
    processes,
    setup:
      `ours: etcd 3.6.16 and ${BUFFERS} buffer process${BUFFERS === 1 ? "" : "es"} (\`serve --role buffer --archive local\`), ` +
      `topics of rangeSizeFactor ${RANGE_SIZE_FACTOR} (${2 ** (16 - RANGE_SIZE_FACTOR)} range${RANGE_SIZE_FACTOR === 16 ? "" : "s"}), 1,000 keys, TopicClient over gRPC; ${IN_FLIGHT}; ` +
      "a subscription's consumer pulls up to 1,000 and acknowledges each pull",
  };
}

async function startRedisStreams({ use, signal }: StartOptions): Promise<Omit<System, "name" | "label">> {
  const redis = await startRedis({ appendFsync: "always", signal });
  use(() => redis.stop());
  const version = /v=(\S+)/.exec(await versionOf(redis.commandLine[0] ?? ""))?.[1];
  return {
    address: { system: "redis", port: redis.port },
    processes: [{ name: "redis-server", server: redis }],
    setup:
      `Redis Streams: redis-server ${version} with \`appendonly yes, appendfsync always\`, no snapshots, no rewrite of the file while it runs; ` +
      `node-redis ${await packageVersion("redis")} with its automatic pipelining on one connection; no keys; XADD, ${IN_FLIGHT} (MULTI, which is faster than mere pipelines); ` +
      "XREADGROUP COUNT 1000 and XACK in one pipeline, live: BLOCK on a connection of its own",
  };
}

async function startJetStream({ use, signal }: StartOptions): Promise<Omit<System, "name" | "label">> {
  const nats = await startNats({ syncInterval: "always", signal });
  use(() => nats.stop());
  const version = /v?(\d+\.\d+\.\d+)/.exec(await versionOf(nats.commandLine[0] ?? ""))?.[1];
  return {
    address: { system: "nats", port: nats.ports.client },
    processes: [{ name: "nats-server", server: nats }],
    setup:
      `NATS JetStream: nats-server ${version} with \`sync_interval: always\`, file storage, one replica; ` +
      `@nats-io/jetstream ${await packageVersion("@nats-io/jetstream")}; no keys; ${IN_FLIGHT} (atomic batches, which are faster than asynchronous publishes); ` +
      "a durable pull consumer, 1,000 ahead, AckPolicy.All, an acknowledgement every 500",
  };
}

async function startRawLog({
  use,
  profileDirectory,
  signal,
}: StartOptions): Promise<Omit<System, "name" | "label">> {
  const server = await startProcess(rawLogProgram, {
    name: "raw-log",
    ready: /^READY port=(\d+) pid=\d+$/,
    args: ({ dataDir }) => [join(dataDir, "log")],
    nodeArgs: profileFlags(profileDirectory),
    signal,
  });
  use(() => server.stop());
  return {
    address: { system: "raw", port: Number((await server.ready())[1]) },
    processes: [{ name: "raw log", server }],
    setup:
      `raw TCP log (the limit, about 100 lines: no keys, ids, checksums or coordination): length-prefixed frames, group commit with fdatasync; ${IN_FLIGHT}; ` +
      "a reader commits its position with fdatasync",
  };
}

export function profileFlags(directory: string | undefined): readonly string[] {
  return directory === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${directory}`];
}

async function versionOf(program: string): Promise<string> {
  const { stdout } = await promisify(execFile)(program, ["--version"]);
  return stdout;
}

/** Of the dependency as installed. */
async function packageVersion(name: string): Promise<string> {
  // Their exports hide package.json, so it is found by its folder.
  const manifest = new URL(`../../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(await readFile(manifest, "utf8")) as { readonly version: string }).version;
}
