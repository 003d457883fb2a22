import { HarnessError } from "./errors.js";
import { buildGoServer } from "./go-build.js";
import { etcdBuild } from "./go-servers.js";
import { requestJson } from "./http.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";

export interface EtcdOptions extends ServerOptions {
  /**
   * More flags, after the harness's own. etcd rounds lease TTLs up to 1.5 times its election timeout (1,000 ms by default,
   * so no lease is shorter than 2 s); `["--heartbeat-interval=10", "--election-timeout=100"]` makes leases of 1 s possible.
   */
  readonly args?: readonly string[];
}

export type EtcdPort = "client" | "peer";

/** One member of real etcd on loopback, without TLS and without authentication. */
export class EtcdServer extends ServerProcess<EtcdPort> {
  /** What clients dial: `http://127.0.0.1:PORT`, the same after every restart and wipe. */
  get endpoint(): string {
    return clientUrl(this.ports.client);
  }

  /** The newest revision of the store: 1 when it is empty. @throws HarnessError "request-failed" */
  async revision(options: { readonly signal?: AbortSignal } = {}): Promise<bigint> {
    const answer = await this.#post("/v3/kv/range", { key: toBase64("\0"), limit: "1" }, options.signal);
    // etcd's JSON writes 64-bit numbers as strings.
    return BigInt((answer as { readonly header: { readonly revision: string } }).header.revision);
  }

  /**
   * Throws away all history before `revision`, on disk too: reads and watches from before it fail from then on.
   * @throws HarnessError "request-failed", as when it is compacted already or is in the future
   */
  async compact(revision: bigint, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#post("/v3/kv/compaction", { revision: String(revision), physical: true }, options.signal);
  }

  async #post(path: string, post: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    try {
      return await requestJson(`${this.endpoint}${path}`, { post, signal, timeoutMs: 10_000 });
    } catch (error) {
      signal?.throwIfAborted();
      throw new HarnessError("request-failed", `etcd refused ${path}: ${String(error)}`, { cause: error });
    }
  }
}

/**
 * Builds etcd if it was not built before, and starts it empty on free loopback ports. It is ready when this returns.
 *
 * `wipe` starts it with the same flags, so the cluster id stays and revisions begin again at 1: the hardest replacement to
 * notice. With data of its own folder, one etcd per `dataDir` at a time (etcd locks it).
 * @throws HarnessError "missing-server", "build-failed", "exited", "not-ready"
 */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const program = await buildGoServer(etcdBuild, { signal: options.signal });
  return new EtcdServer(etcdKind(program, options.args ?? []), options).start();
}

function etcdKind(program: string, args: readonly string[]): ServerKind<EtcdPort> {
  return {
    name: "etcd",
    ports: ["client", "peer"],
    command: async ({ ports, dataDir, identity }) => {
      const cluster = `${identity}=${clientUrl(ports.peer)}`;
      const flags = etcdFlags({ name: identity, dataDir, ports, cluster, token: identity });
      return { file: program, args: [...flags, ...args] };
    },
    isReady: async ({ ports, identity }, signal) => {
      const url = clientUrl(ports.client);
      const health = (await requestJson(`${url}/health`, { signal })) as { readonly health?: string };
      if (health.health !== "true") return false;
      // A linearizable read: there is a leader. And by its name it is ours, not another runner's etcd on the port we lost.
      const { members } = (await requestJson(`${url}/v3/cluster/member/list`, { post: {}, signal })) as {
        readonly members?: readonly { readonly name?: string }[];
      };
      return members?.length === 1 && members[0]?.name === identity;
    },
  };
}

/** What one member is started with. */
export function etcdFlags(member: {
  readonly name: string;
  readonly dataDir: string;
  readonly ports: Readonly<Record<EtcdPort, number>>;
  /** `NAME=URL` of the peers' ports of all members, with commas between. */
  readonly cluster: string;
  readonly token: string;
}): string[] {
  const client = clientUrl(member.ports.client);
  const peer = clientUrl(member.ports.peer);
  const flags = {
    name: member.name,
    "data-dir": member.dataDir,
    "listen-client-urls": client,
    "advertise-client-urls": client,
    "listen-peer-urls": peer,
    "initial-advertise-peer-urls": peer,
    "initial-cluster": member.cluster,
    "initial-cluster-token": member.token,
  };
  return Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
}

export function clientUrl(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function toBase64(text: string): string {
  return Buffer.from(text).toString("base64");
}
