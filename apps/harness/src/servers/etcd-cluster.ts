import { randomUUID } from "node:crypto";
import { clientUrl, type EtcdOptions, type EtcdPort, EtcdServer, etcdFlags } from "./etcd.js";
import { buildGoServer } from "./go-build.js";
import { etcdBuild } from "./go-servers.js";
import { requestJson } from "./http.js";
import { pickPorts } from "./ports.js";
import type { ServerKind } from "./server-kind.js";

export interface EtcdClusterOptions extends Omit<EtcdOptions, "dataDir"> {
  /** Default 3. */
  readonly members?: number;
}

/** Several members of one etcd cluster, each a server of its own that can be paused, killed and restarted. */
export class EtcdCluster implements AsyncDisposable {
  readonly members: readonly EtcdServer[];

  constructor(members: readonly EtcdServer[]) {
    this.members = members;
  }

  /** All members. More than one call is fine. */
  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/**
 * Starts an empty cluster on free loopback ports; every member answers, and knows a leader, when this returns.
 * A member that is restarted is ready only while most of the others run. `wipe` is not for members: the cluster would refuse them.
 * @throws HarnessError "missing-server", "build-failed", "exited", "not-ready"
 */
export async function startEtcdCluster(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const { members: count = 3, args = [], ...rest } = options;
  const program = await buildGoServer(etcdBuild, { signal: options.signal });
  const token = randomUUID();
  // All ports are chosen before the first start, because each member is told those of all the others.
  const ports = await (options.pickPorts ?? pickPorts)(2 * count);
  const all = Array.from({ length: count }, (_, index) => ({
    name: `${token}-${index}`,
    ports: { client: ports[2 * index] ?? 0, peer: ports[2 * index + 1] ?? 0 },
  }));
  const cluster = all.map(({ name, ports: { peer } }) => `${name}=${clientUrl(peer)}`).join(",");
  const members = all.map(({ name, ports: own }) => {
    const kind: ServerKind<EtcdPort> = {
      name: "etcd",
      ports: ["client", "peer"],
      command: async ({ dataDir }) => ({
        file: program,
        args: [...etcdFlags({ name, dataDir, ports: own, cluster, token }), ...args],
      }),
      isReady: (_launched, signal) => isMember(clientUrl(own.client), { count, token, signal }),
    };
    return new EtcdServer(kind, { ...rest, pickPorts: async () => [own.client, own.peer] });
  });
  const started = new EtcdCluster(members);
  // Together: none is ready before most of them run.
  const results = await Promise.allSettled(members.map((member) => member.start()));
  const failure = results.find(({ status }) => status === "rejected");
  if (failure === undefined) return started;
  await started.stop();
  throw (failure as PromiseRejectedResult).reason; // what `find` looked for
}

/** It answers, has a leader, and the members that it knows are all of this cluster. */
async function isMember(
  url: string,
  options: { readonly count: number; readonly token: string; readonly signal: AbortSignal },
): Promise<boolean> {
  const { signal } = options;
  const health = (await requestJson(`${url}/health`, { signal })) as { readonly health?: string };
  if (health.health !== "true") return false;
  const { members = [] } = (await requestJson(`${url}/v3/cluster/member/list`, { post: {}, signal })) as {
    readonly members?: readonly { readonly name?: string }[];
  };
  return (
    members.length === options.count && members.every(({ name }) => name?.startsWith(options.token) === true)
  );
}
