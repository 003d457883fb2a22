import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { S3Client } from "@aws-sdk/client-s3";
import {
  type BlobStore,
  createReplica,
  directoryStore,
  type NamedStore,
  type Ref,
  type ReplicaEvent,
  refOf,
} from "@x/blob-replica";
import { grpcStore } from "@x/blob-replica/grpc";
import { s3Store } from "@x/blob-replica/s3";
import { testBlob } from "@x/blob-replica/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
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
import { Way } from "./blob-way.js";

const seed = process.env.BLOB_SEED ?? String(Date.now());
const serverProgram = fileURLToPath(new URL("fixtures/blob-server.mjs", import.meta.url));
const missing = [requireServer("toxiproxy"), requireServer("versitygw")].includes(false);

/** A server that stores are made for, and the way to it. */
interface Remote {
  readonly way: Way;
  /** On the way, while nothing is wrong. */
  readonly proxy: ToxicProxy;
  readonly server: ServerProcess<string>;
  /** Behind a proxy of its own, on whose connections these toxics act. What brings the good one back. */
  readonly detour: (add: (proxy: ToxicProxy) => Promise<unknown>) => Promise<() => Promise<void>>;
  /** On this way. */
  readonly open: (name: string) => BlobStore;
  /** The same, by a client that tries everything once. */
  readonly once: (name: string) => BlobStore;
  /** Past it. The same name is the same blobs. */
  readonly direct: (name: string) => BlobStore;
}

type Kind = "s3" | "grpc";
/** So that what one of them has is not there for the other. */
const numbersOf = { s3: 100, grpc: 200 } as const;

describe.skipIf(missing)("blobs over a network that fails", { timeout: 60_000 }, () => {
  let toxiproxy: ToxiproxyServer;
  let s3: VersitygwServer;
  let grpc: NodeProcess<"grpc">;
  let root = "";
  let numbers = 0;
  let remotes: Readonly<Record<Kind, Remote>>;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    console.log(`BLOB_SEED=${seed}`);
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
    const bucket = (port: number, maxAttempts: number) => (name: string) => {
      const client = new S3Client({
        endpoint: `http://127.0.0.1:${port}`,
        region: s3.region,
        forcePathStyle: true,
        maxAttempts,
        credentials: { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey },
      });
      closing.push(() => client.destroy());
      return s3Store({ client, bucket: "blobs", prefix: `${name}/` });
    };
    const service = (port: number) => () => {
      const store = grpcStore({ endpoint: `127.0.0.1:${port}` });
      closing.push(() => store[Symbol.asyncDispose]());
      return store;
    };
    const remote = async (
      server: ServerProcess<string>,
      port: number,
      open: (port: number, maxAttempts: number) => (name: string) => BlobStore,
    ): Promise<Remote> => {
      const proxy = await toxiproxy.proxy(`127.0.0.1:${port}`);
      const way = await Way.open(proxy.port);
      closing.push(() => way[Symbol.asyncDispose]());
      return {
        way,
        proxy,
        server,
        detour: async (add) => {
          const bad = await toxiproxy.proxy(`127.0.0.1:${port}`);
          await add(bad);
          way.leadTo(bad.port);
          return async () => way.leadTo(proxy.port);
        },
        open: open(way.port, 3),
        once: open(way.port, 1),
        direct: open(port, 3),
      };
    };
    remotes = {
      s3: await remote(s3, s3.ports.s3, bucket),
      grpc: await remote(grpc, grpc.ports.grpc, service),
    };
  }, 2 * goBuildTimeoutMs);

  afterAll(async () => {
    for (const close of closing.reverse()) await close();
    await grpc?.stop();
    await s3?.stop();
    await toxiproxy?.stop();
    await rm(root, { recursive: true, force: true });
  });

  /** Each lets something go wrong, and gives back what makes it good again. `fails`: no store is spared by chance, or by trying again. */
  const faults: Readonly<
    Record<string, { fails: boolean; strike: (remote: Remote) => Promise<() => Promise<void>> }>
  > = {
    "is cut": {
      fails: true,
      strike: async ({ proxy }) => {
        await proxy.cut();
        return () => proxy.restore();
      },
    },
    "resets what is on its way": {
      fails: false,
      strike: ({ detour }) => detour((proxy) => proxy.resetPeers({ afterMs: 20 })),
    },
    "is slow": {
      fails: false,
      strike: ({ detour }) => detour((proxy) => proxy.latency(200, { jitterMs: 100 })),
    },
    "ends each connection after some bytes, and is slow to tell": {
      fails: true,
      strike: ({ detour }) =>
        detour(async (proxy) => {
          await proxy.slowClose(300);
          await both((stream) => proxy.limitBytes(60_000, { stream }));
        }),
    },
    "is narrow": {
      fails: false,
      strike: ({ detour }) =>
        detour((proxy) => both((stream) => proxy.addToxic("bandwidth", { rate: 100 }, { stream }))),
    },
    "swallows everything": {
      fails: true,
      strike: ({ detour }) => detour((proxy) => both((stream) => proxy.blackHole({ stream }))),
    },
    "leads to a server that is killed": {
      fails: true,
      strike: async ({ server }) => {
        await server.kill("SIGKILL");
        return () => server.restart();
      },
    },
  };

  it.each(Object.keys(faults))(
    "no put and no get fails, and nothing is lost, when the way to a store %s",
    async (name) => {
      const { fails, strike } = faults[name] as (typeof faults)[string]; // of its own keys
      const failed = new Set<string>();
      const onEvent = ({ event, store }: ReplicaEvent): void => {
        if (event === "async-failed" || event === "sync-failed") failed.add(store);
      };
      const folder = await mkdtemp(join(root, "replica-"));
      const disk = (its: string): NamedStore => ({ name: its, store: directoryStore(join(folder, its)) });
      const random = new SeededRandom(`${seed}/${name}`);
      const common = { attemptTimeoutMs: 2_000, retryMaxMs: 500, onEvent };
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
      for (const kind of ["s3", "grpc"] as const) {
        failed.clear();
        const heal = await strike(remotes[kind]);
        try {
          await goOn(15);
          while (fails && !(failed.has(kind) && failed.has(`far ${kind}`))) await goOn(1);
        } finally {
          await heal();
        }
        const healed = mixed.find((each) => each.name === kind)?.store;
        await vi.waitFor(() => healed?.put(testBlob(1, 10)), { timeout: 20_000, interval: 50 });
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

  describe.each(["s3", "grpc"] as const)("the store over %s itself", (kind) => {
    const large = testBlob(numbersOf[kind], 3_000_000);
    const ref = refOf(large);
    let store: BlobStore;
    let direct: BlobStore;
    beforeAll(() => {
      store = remotes[kind].open("itself");
      direct = remotes[kind].direct("itself");
    });
    const unavailable = { name: "BlobError", code: "unavailable" };

    /** Whole, or not there: nothing else is ever served. */
    async function expectWholeOrNothing(which: Ref): Promise<void> {
      const blob = await direct.get(which).catch((error: unknown) => {
        expect(error).toMatchObject({ code: "not-found" });
      });
      if (blob) expect(refOf(blob)).toBe(which);
    }

    /** Of connections that were reset the next call may be the one that finds out. */
    async function recovered(): Promise<void> {
      await vi.waitFor(() => store.put(testBlob(1, 10)), { timeout: 20_000, interval: 50 });
    }

    it("says unavailable while it is cut, to every call", async () => {
      const { proxy } = remotes[kind];
      await store.put(testBlob(1, 10));
      await proxy.cut();
      try {
        await expect(store.put(large)).rejects.toMatchObject(unavailable);
        await expect(store.get(ref)).rejects.toMatchObject(unavailable);
        await expect(store.has?.(ref)).rejects.toMatchObject(unavailable);
        await expect(collect(store.listRefs())).rejects.toMatchObject(unavailable);
        await expect(collect(store.stream?.(ref))).rejects.toMatchObject(unavailable);
        for (const { error } of (await store.putMany?.([testBlob(2, 10), testBlob(3, 10)])) ?? []) {
          expect(error).toMatchObject(unavailable);
        }
      } finally {
        await proxy.restore();
      }
      await recovered();
    });

    it("gives no part of a blob for the whole when connections end in the middle of a get", async () => {
      const { detour } = remotes[kind];
      await direct.put(large);
      for (const bytes of [0, 1, 20_000, 1_500_000, 2_999_000]) {
        const heal = await detour((proxy) => proxy.limitBytes(bytes));
        try {
          await expect(store.get(ref), `after ${bytes} bytes`).rejects.toMatchObject(unavailable);
          let got = 0;
          const reading = (async () => {
            for await (const piece of store.stream?.(ref) ?? []) {
              expect(Buffer.compare(piece, large.subarray(got, got + piece.length))).toBe(0);
              got += piece.length;
            }
          })();
          await expect(reading, `after ${bytes} bytes`).rejects.toMatchObject(unavailable);
          expect(got).toBeLessThan(large.length);
        } finally {
          await heal();
        }
      }
      await recovered();
      expect(Buffer.compare(await store.get(ref), large)).toBe(0);
    });

    it("leaves nothing torn behind when connections end in the middle of a put, and heals by another put", async () => {
      const { detour } = remotes[kind];
      for (const [i, bytes] of [1, 20_000, 1_500_000, 2_900_000].entries()) {
        const blob = testBlob(1_000 + i, 3_000_000);
        const heal = await detour((proxy) => proxy.limitBytes(bytes, { stream: "upstream" }));
        try {
          await expect(store.put(blob), `after ${bytes} bytes`).rejects.toMatchObject(unavailable);
        } finally {
          await heal();
        }
        await expectWholeOrNothing(refOf(blob));
        await recovered();
        await store.put(blob);
        expect(Buffer.compare(await direct.get(refOf(blob)), blob)).toBe(0);
      }
    });

    it("acknowledges nothing that is lost when its server is killed in the middle of puts", async () => {
      const { detour, server } = remotes[kind];
      const random = new SeededRandom(`${seed}/${kind}`);
      for (let kill = 0; kill < 3; kill++) {
        const blobs = Array.from({ length: 8 }, (_, i) => testBlob(2_000 + 10 * kill + i, 10 + i * 200_000));
        const heal = await detour((proxy) =>
          proxy.addToxic("bandwidth", { rate: 4_000 }, { stream: "upstream" }),
        );
        try {
          const puts = blobs.map((blob) => store.put(blob));
          // As many as are told when it is killed: the rest is on its way.
          const enough = random.integer(1, 5);
          let told = 0;
          await new Promise<void>((resolve) => {
            for (const put of puts)
              void put.then(
                () => ++told === enough && resolve(),
                () => resolve(),
              );
          });
          await server.kill("SIGKILL");
          const outcomes = await Promise.allSettled(puts);
          await server.restart();
          for (const [i, outcome] of outcomes.entries()) {
            const its = refOf(blobs[i] as Uint8Array); // as many as puts
            if (outcome.status === "fulfilled") expect(refOf(await direct.get(its))).toBe(its);
            else expect(outcome.reason).toMatchObject(unavailable);
            await expectWholeOrNothing(its);
          }
        } finally {
          await heal();
        }
        await recovered();
        for (const blob of blobs) await store.put(blob);
        for (const blob of blobs) expect(Buffer.compare(await store.get(refOf(blob)), blob)).toBe(0);
      }
    });

    it("finds what is there already, however large: a server that has it need not read it, and may end the connection", async () => {
      const once = remotes[kind].once("itself");
      await direct.put(large);
      for (let again = 0; again < 30; again++) {
        expect(await once.put(large)).toEqual({ ref, added: false });
      }
    });

    it("ends with the signal's reason itself when that comes in the middle", async () => {
      const { detour } = remotes[kind];
      await direct.put(large);
      const heal = await detour((proxy) =>
        both((stream) => proxy.addToxic("bandwidth", { rate: 50 }, { stream })),
      );
      await recovered();
      try {
        for (const call of [
          (signal: AbortSignal) => store.get(ref, { signal }),
          (signal: AbortSignal) => store.put(testBlob(5_000, 3_000_000), { signal }),
          (signal: AbortSignal) => collect(store.stream?.(ref, { signal })),
        ]) {
          const reason = new Error("enough");
          const controller = new AbortController();
          const calling = call(controller.signal);
          const timer = setTimeout(() => controller.abort(reason), 200);
          await expect(calling).rejects.toBe(reason);
          clearTimeout(timer);
        }
      } finally {
        await heal();
      }
      await recovered();
      await expectWholeOrNothing(refOf(testBlob(5_000, 3_000_000)));
    });
  });
});

async function collect<Item>(items: AsyncIterable<Item> | undefined): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items ?? []) all.push(item);
  return all;
}

function both(make: (stream: "upstream" | "downstream") => Promise<Toxic>): Promise<readonly Toxic[]> {
  return Promise.all((["upstream", "downstream"] as const).map(make));
}
