import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { S3Client } from "@aws-sdk/client-s3";
import { type BlobStore, createReplica, directoryStore, type NamedStore, refOf } from "@x/blob-replica";
import { grpcStore } from "@x/blob-replica/grpc";
import { s3Store } from "@x/blob-replica/s3";
import { testBlob } from "@x/blob-replica/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildGoServer,
  goBuildTimeoutMs,
  type NodeProcess,
  requireServer,
  type ServerProcess,
  startProcess,
  startToxiproxy,
  startVersitygw,
  type Toxic,
  type ToxicProxy,
  type ToxiproxyServer,
  toxiproxyBuild,
  type VersitygwServer,
  versitygwBuild,
} from "../src/servers/index.js";
import { SeededRandom } from "../src/sim/random.js";
import { BlobTraffic } from "./blob-traffic.js";

const seed = process.env.BLOB_SEED ?? String(Date.now());
const serverProgram = fileURLToPath(new URL("fixtures/blob-server.mjs", import.meta.url));
const missing = [requireServer("toxiproxy"), requireServer("versitygw")].includes(false);

/** A server that stores are made for, and a way to it that can be made bad. */
interface Remote {
  readonly proxy: ToxicProxy;
  readonly server: ServerProcess<string>;
  /** Over the proxy. */
  readonly open: (name: string) => BlobStore;
  /** Past the proxy. The same name is the same blobs. */
  readonly direct: (name: string) => BlobStore;
}

type Kind = "s3" | "grpc";

describe.skipIf(missing)("blobs over a network that fails", { timeout: 60_000 }, () => {
  let toxiproxy: ToxiproxyServer;
  let s3: VersitygwServer;
  let grpc: NodeProcess<"grpc">;
  let root = "";
  let numbers = 0;
  let remotes: Readonly<Record<Kind, Remote>>;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    await buildGoServer(toxiproxyBuild);
    await buildGoServer(versitygwBuild);
    root = await mkdtemp(join(tmpdir(), "x-harness-blob-faults-"));
    toxiproxy = await startToxiproxy();
    s3 = await startVersitygw();
    await s3.createBucket("blobs");
    grpc = await startProcess(serverProgram, {
      name: "blob-server",
      ready: /^serves on \d+$/,
      ports: ["grpc"],
      args: ({ ports, dataDir }) => [String(ports.grpc), dataDir],
    });
    const bucket = (endpoint: string) => (name: string) => {
      const client = new S3Client({
        endpoint,
        region: s3.region,
        forcePathStyle: true,
        maxAttempts: 1,
        credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
      });
      closing.push(() => client.destroy());
      return s3Store({ client, bucket: "blobs", prefix: `${name}/` });
    };
    const remote = (endpoint: string) => () => {
      const store = grpcStore({ endpoint });
      closing.push(() => store[Symbol.asyncDispose]());
      return store;
    };
    const grpcEndpoint = `127.0.0.1:${grpc.ports.grpc}`;
    // Every end of a connection is a reset: what is on its way is cut off in its middle.
    const [s3Proxy, grpcProxy] = (await Promise.all(
      [s3.endpoint, grpcEndpoint].map((endpoint) => toxiproxy.proxy(endpoint, { resets: true })),
    )) as [ToxicProxy, ToxicProxy]; // as many as endpoints
    remotes = {
      s3: { proxy: s3Proxy, server: s3, open: bucket(s3Proxy.endpoint), direct: bucket(s3.endpoint) },
      grpc: {
        proxy: grpcProxy,
        server: grpc,
        open: remote(grpcProxy.endpoint),
        direct: remote(grpcEndpoint),
      },
    };
  }, 2 * goBuildTimeoutMs);

  afterAll(async () => {
    for (const close of closing) await close();
    await grpc?.stop();
    await s3?.stop();
    await toxiproxy?.stop();
    await rm(root, { recursive: true, force: true });
  });

  /** Each lets something go wrong, and gives back what makes it good again. */
  const faults: Readonly<Record<string, (remote: Remote) => Promise<() => Promise<void>>>> = {
    "is cut": async ({ proxy }) => {
      await proxy.cut();
      return () => proxy.restore();
    },
    "resets what is on its way": async ({ proxy }) => {
      for (let again = 0; again < 5; again++) {
        await proxy.cut();
        await proxy.restore();
      }
      return async () => {};
    },
    "is slow": async ({ proxy }) => {
      const toxic = await proxy.latency(200, { jitterMs: 100 });
      return () => toxic.remove();
    },
    "is slow to close": async ({ proxy }) => {
      const toxic = await proxy.slowClose(300);
      await proxy.cut();
      await proxy.restore();
      return () => toxic.remove();
    },
    "ends each connection after some bytes": async ({ proxy }) => {
      const toxics = await both((stream) => proxy.limitBytes(60_000, { stream }));
      await proxy.cut();
      await proxy.restore();
      return () => removed(toxics);
    },
    "is narrow": async ({ proxy }) => {
      const toxics = await both((stream) => proxy.addToxic("bandwidth", { rate: 100 }, { stream }));
      return () => removed(toxics);
    },
    "swallows everything": async ({ proxy }) => {
      const toxics = await both((stream) => proxy.blackHole({ stream }));
      return () => removed(toxics);
    },
    "leads to a server that is killed": async ({ server }) => {
      await server.kill("SIGKILL");
      return () => server.restart();
    },
  };

  it.each(Object.keys(faults))(
    "no put and no get fails, and nothing is lost, when the way to a store %s",
    async (name) => {
      const strike = faults[name] as (remote: Remote) => Promise<() => Promise<void>>; // of its own keys
      const folder = await mkdtemp(join(root, "replica-"));
      const disk = (its: string): NamedStore => ({ name: its, store: directoryStore(join(folder, its)) });
      const random = new SeededRandom(`${seed}/${name}`);
      const common = { attemptTimeoutMs: 2_000, retryMaxMs: 500 };
      const here = `${name.replaceAll(" ", "-")}-sync`;
      const there = `${name.replaceAll(" ", "-")}-async`;
      const mixed = [
        { name: "s3", store: remotes.s3.open(here) },
        { name: "grpc", store: remotes.grpc.open(here) },
      ];
      const far = [
        { name: "far s3", store: remotes.s3.open(there) },
        { name: "far grpc", store: remotes.grpc.open(there) },
      ];
      // Of one replica two stores of three are remote, and of the other the asynchronous ones.
      await using one = await createReplica({ sync: [...mixed, disk("disk")], writeQuorum: 2, ...common });
      await using two = await createReplica({
        sync: [disk("first"), disk("second")],
        async: far,
        queue: { dir: join(folder, "queue") },
        ...common,
      });
      const first = numbers;
      numbers += 1_000_000;
      await using traffic = new BlobTraffic(one, random.fork("one"), first);
      await using more = new BlobTraffic(two, random.fork("two"), first + 500_000);
      const goOn = (count: number) => Promise.all([traffic.goesOn(count), more.goesOn(count)]);
      await goOn(5);
      for (const remote of Object.values(remotes)) {
        const heal = await strike(remote);
        try {
          await goOn(15);
        } finally {
          await heal();
        }
        await Promise.all([traffic.settled(), more.settled()]);
      }
      await traffic.finish(
        [
          disk("disk"),
          { name: "s3", store: remotes.s3.direct(here) },
          { name: "grpc", store: remotes.grpc.direct(here) },
        ],
        30_000,
      );
      await more.finish(
        [
          disk("first"),
          disk("second"),
          { name: "far s3", store: remotes.s3.direct(there) },
          { name: "far grpc", store: remotes.grpc.direct(there) },
        ],
        30_000,
      );
    },
  );
});

function both(make: (stream: "upstream" | "downstream") => Promise<Toxic>): Promise<readonly Toxic[]> {
  return Promise.all((["upstream", "downstream"] as const).map(make));
}

async function removed(toxics: readonly Toxic[]): Promise<void> {
  await Promise.all(toxics.map((toxic) => toxic.remove()));
}
