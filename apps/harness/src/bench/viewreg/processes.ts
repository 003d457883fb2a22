import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import { createFanout } from "@x/fanout";
import { defineFeatures, type Endpoint, openGrpcRegistry, staticLocator } from "@x/viewreg";
import { type NodeProcess, startEtcdCluster, startProcess } from "../../servers/index.js";
import { EchoClient } from "./grpc-bytes.js";

/** Built, also for those who run from the sources: Node cannot run those. */
const script = fileURLToPath(new URL("../../../dist/bench/viewreg/server-main.js", import.meta.url));

type Fixture = NodeProcess<string>;

/** A process with as many servers as it gets ports. */
async function startServers(count: number, signal: AbortSignal): Promise<Fixture> {
  const names = Array.from({ length: count }, (_, index) => `grpc${index}`);
  return startProcess<string>(script, {
    name: "grpc-servers",
    ready: /^READY pid=\d+$/,
    ports: names,
    args: ({ ports }) => names.map((name) => String(ports[name])),
    signal,
  });
}

function endpointsOf({ ports }: Fixture): Endpoint[] {
  return Object.values(ports).map((port) => ({ host: "127.0.0.1", port }));
}

interface Watched {
  readonly version: number;
  healthyViews(): readonly { readonly endpoint: Endpoint }[];
  waitForChange(version: number, options: { readonly signal?: AbortSignal }): Promise<number>;
}

/** Milliseconds until exactly these ports are healthy. */
async function untilHealthy(
  registry: Watched,
  ports: readonly number[],
  signal: AbortSignal,
): Promise<number> {
  const start = performance.now();
  const wanted = [...ports].sort().join();
  for (;;) {
    const { version } = registry;
    const healthy = registry.healthyViews().map(({ endpoint }) => endpoint.port);
    if (healthy.sort().join() === wanted) return performance.now() - start;
    await registry.waitForChange(version, { signal });
  }
}

export interface Reactions {
  readonly stoppedMs: number;
  readonly continuedMs: number;
  readonly killedMs: number;
  readonly restartedMs: number;
}

/** How long a registry with nothing but defaults takes to notice what happens to one of two real servers. */
export async function reactions(signal: AbortSignal): Promise<Reactions> {
  await using first = await startServers(1, signal);
  await using second = await startServers(1, signal);
  const [own, other] = [first.ports.grpc0 ?? 0, second.ports.grpc0 ?? 0];
  await using registry = openGrpcRegistry({
    locator: staticLocator([...endpointsOf(first), ...endpointsOf(second)]),
    credentials: credentials.createInsecure(),
  });
  await untilHealthy(registry, [own, other], signal);
  const after = async (what: () => Promise<void>, ports: readonly number[]): Promise<number> => {
    const noticed = untilHealthy(registry, ports, signal);
    const start = performance.now();
    await Promise.all([what(), noticed]);
    return performance.now() - start;
  };
  // Each wait begins before its cause: what is measured is the time from the cause to the registry's change.
  const stoppedMs = await after(() => first.kill("SIGSTOP"), [other]);
  const continuedMs = await after(() => first.kill("SIGCONT"), [own, other]);
  const killedMs = await after(() => first.kill("SIGKILL"), [other]);
  await first.restart();
  const restartedMs = await untilHealthy(registry, [own, other], signal);
  return { stoppedMs, continuedMs, killedMs, restartedMs };
}

/** The longest of the two: how long until a cluster's paused and its killed member are out. */
export async function etcdReaction(signal: AbortSignal): Promise<number> {
  await using cluster = await startEtcdCluster({ signal });
  const ports = cluster.members.map((member) => member.ports.client);
  await using registry = openGrpcRegistry({
    locator: staticLocator(ports.map((port) => ({ host: "127.0.0.1", port }))),
    credentials: credentials.createInsecure(),
  });
  await untilHealthy(registry, ports, signal);
  const noticed = untilHealthy(registry, ports.slice(2), signal);
  const start = performance.now();
  await Promise.all([cluster.members[0]?.kill("SIGSTOP"), cluster.members[1]?.kill("SIGKILL"), noticed]);
  return performance.now() - start;
}

export interface RollingRestart {
  readonly calls: number;
  readonly failed: number;
  readonly firstFailure: unknown;
}

const partitions = 10;
const share = 2n ** 64n / BigInt(partitions);
const features = defineFeatures({ echo: EchoClient });

/** Restarts real servers two at a time, each partition having one more elsewhere, while calls over all partitions go on. */
export async function rollingRestart({
  processes,
  signal,
}: {
  readonly processes: number;
  readonly signal: AbortSignal;
}): Promise<RollingRestart> {
  const fixtures: Fixture[] = [];
  try {
    for (let index = 0; index < 10; index++) fixtures.push(await startServers(2, signal));
    return await restartUnderLoad(fixtures, { processes, signal });
  } finally {
    await Promise.all(fixtures.map((fixture) => fixture.stop()));
  }
}

async function restartUnderLoad(
  fixtures: readonly Fixture[],
  { processes, signal }: { readonly processes: number; readonly signal: AbortSignal },
): Promise<RollingRestart> {
  const endpoints = fixtures.flatMap(endpointsOf);
  const partitionOf = new Map(endpoints.map(({ port }, index) => [port, BigInt(index % partitions)]));
  await using registry = openGrpcRegistry({
    locator: staticLocator(endpoints),
    features,
    probe: (health, _channel, { endpoint }) => {
      const from = (partitionOf.get(endpoint.port) ?? 0n) * share;
      return { ...health, serves: { from, to: from + share } };
    },
    credentials: credentials.createInsecure(),
  });
  const ports = endpoints.map(({ port }) => port);
  await untilHealthy(registry, ports, signal);

  const fanout = createFanout({ serverOf: ({ channel }: { readonly channel: unknown }) => channel });
  const points = Array.from({ length: partitions }, (_, index) => BigInt(index) * share + 1n);
  let calls = 0;
  let failed = 0;
  let firstFailure: unknown;
  let done = false;
  const load = async (): Promise<void> => {
    while (!done) {
      calls++;
      try {
        const call = fanout.call(
          points,
          () => registry.healthyViews(),
          (view, _offsets, context) => echo(view.client("echo"), context.signal),
          { signal },
        );
        for await (const _chunk of call);
      } catch (error) {
        signal.throwIfAborted();
        failed++;
        firstFailure ??= error;
      }
    }
  };
  const loads = Promise.all(Array.from({ length: 4 }, load));
  try {
    for (const fixture of fixtures.slice(0, processes)) {
      await fixture.restart();
      await untilHealthy(registry, ports, signal);
    }
  } finally {
    done = true;
    await loads;
  }
  return { calls, failed, firstFailure };
}

function echo(client: EchoClient, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = client.echo(Buffer.alloc(16), (error) => {
      signal.removeEventListener("abort", onAbort);
      if (error === null) resolve();
      else reject(error);
    });
    const onAbort = (): void => call.cancel();
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
