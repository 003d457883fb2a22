/** Puts a process together from its roles, in the order in which they need each other, and takes it apart in reverse. */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { type Coord, CoordError } from "@x/coord";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { etcdCoord } from "@x/coord/etcd";
import { type BufferNode, createBufferServer, openBuffer } from "@x/topic-buffer";
import { openLocalSegmentLog } from "@x/topic-buffer/local";
import { grpcBuffers, openBufferRegistry, openGatewayServer, TopicClient } from "@x/topic-gateway";
import type { BufferConnection, SegmentArchive, SegmentLogStore } from "@x/topic-gateway/protocol";
import { formatEndpoint } from "@x/viewreg";
import { openArchive } from "./archive/open-archive.js";
import { AsyncStack } from "./async-stack.js";
import type { ServeConfig } from "./config.js";
import { openHttpServer } from "./http/server.js";
import { assertListenable } from "./listen.js";
import type { Log } from "./log.js";
import { gatewayMetrics } from "./metrics.js";

export interface Served extends AsyncDisposable {
  /** `HOST:PORT`, as bound. */
  readonly http: string;
  readonly grpc: string;
  /** The client that the gateway itself uses; undefined for a buffer. */
  readonly client: TopicClient | undefined;
  /** Rejects when something that can't be lived without has failed. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

// A supervisor waits 5 s. First requests and calls on their way end, then what was published is answered and ranges are handed
// over, then whoever still reads from a buffer is cut off.
const REQUEST_GRACE_MS = 1_000;
const HANDOVER_GRACE_MS = 2_000;
const READER_GRACE_MS = 200;
const RETRY_STORE_MS = 500;

/** Resolves when everything answers. @throws signal.reason, and what keeps the process from starting */
export async function serve(config: ServeConfig, log: Log, signal?: AbortSignal): Promise<Served> {
  const stack = new AsyncStack();
  let handingOver: AbortSignal | undefined;
  // One time for all, from when the first of them closes.
  const handover = (): AbortSignal => {
    handingOver ??= AbortSignal.timeout(HANDOVER_GRACE_MS);
    return handingOver;
  };
  try {
    await assertListenable(config.http, "--http");
    await assertListenable(config.grpc, "--grpc");
    await makeDirectory(config.dataDirectory);
    const { coord, failure } = await openCoord(config);
    stack.use(coord);
    await untilReachable(coord, signal);
    const opened = stack.use(await openArchive(config, { coord, log, ...(signal && { signal }) }));
    const { archive } = opened;
    const metrics = gatewayMetrics();
    metrics.watchArchive(() => opened.status());
    const local = new Map<string, BufferNode>();
    let grpc = "";

    if (config.role !== "gateway") {
      const logs = stack.use(
        await openLocalSegmentLog({ directory: join(config.dataDirectory, "segments") }),
      );
      const single = config.role === "buffer";
      for (let i = 1; i <= (single ? 1 : config.buffers); i++) {
        const listen = single ? config.grpc : { host: "127.0.0.1", port: 0 };
        const { buffer, address } = await openLocalBuffer(config, log, {
          coord,
          logs,
          archive,
          listen,
          number: i,
          stack,
          handover,
          signal,
        });
        local.set(address, buffer);
        if (single) grpc = address;
      }
    }
    if (config.role === "buffer") {
      const http = stack.use(
        await openHttpServer({
          endpoint: config.http,
          config: config.httpConfig,
          log,
          metrics,
          stopGraceMs: REQUEST_GRACE_MS,
        }),
      );
      return served(stack, { http: http.address, grpc, client: undefined }, failure);
    }

    // Also of the buffers in this process, by the same way as of all others: over the network.
    const buffers = stack.use(
      openBufferRegistry({
        coord,
        log: (event) => log.registry(event),
        metrics: metrics.bufferRegistry(),
        onSkipped: ({ key, error }) => log.error(`the record ${key} is no buffer's`, error),
      }),
    );
    const overNetwork = grpcBuffers();
    const client = await TopicClient.open({
      ...(signal && { signal }),
      coord,
      archive,
      health: buffers,
      // A buffer of this very process needs no network.
      connect: (address) => {
        const buffer = local.get(address);
        return buffer ? inProcess(buffer) : overNetwork(address);
      },
      onEvent: (event) => {
        metrics.clientEvent(event);
        log.debug(event.type, event);
      },
    });
    stack.defer(() => client.close({ signal: handover() }));
    metrics.watchClient(client);
    const server = await openGatewayServer({
      client,
      address: formatEndpoint(config.grpc),
      limits: config.grpcLimits,
    });
    metrics.watchGrpc(server.load);
    const closeServer = (): Promise<void> => server.close({ graceMs: REQUEST_GRACE_MS });
    stack.defer(closeServer);
    grpc = formatEndpoint({ ...config.grpc, port: server.port });
    const http = await openHttpServer({
      endpoint: config.http,
      config: config.httpConfig,
      log,
      metrics,
      stopGraceMs: REQUEST_GRACE_MS,
      gateway: { client, buffers, archive: () => opened.status() },
    });
    // Both at once: neither waits for the other's callers.
    stack.defer(async () => {
      await Promise.all([http[Symbol.asyncDispose](), closeServer()]);
    });
    return served(stack, { http: http.address, grpc, client }, failure);
  } catch (error) {
    await stack.close();
    throw error;
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new Error(`can't keep data in ${path}; --data takes another folder`, { cause });
  }
}

/** A process may well be started before its etcd is. @throws signal.reason, and what trying again does not help against */
async function untilReachable(coord: Coord, signal: AbortSignal | undefined): Promise<void> {
  for (;;) {
    try {
      await coord.clusterId({ ...(signal && { signal }) });
      return;
    } catch (error) {
      if (!(error instanceof CoordError && error.code === "unavailable")) throw error;
      await setTimeout(RETRY_STORE_MS, undefined, { ...(signal && { signal }) });
    }
  }
}

async function openCoord({
  etcd,
  dataDirectory,
}: ServeConfig): Promise<{ coord: Coord; failure?: AbortSignal }> {
  if (etcd.length > 0) return { coord: etcdCoord({ hosts: [...etcd] }) };
  const coord = await openEmbeddedCoord({ directory: join(dataDirectory, "coord") });
  return { coord, failure: coord.failure };
}

async function openLocalBuffer(
  config: ServeConfig,
  log: Log,
  parts: {
    readonly coord: Coord;
    readonly logs: SegmentLogStore;
    readonly archive: SegmentArchive;
    readonly listen: { readonly host: string; readonly port: number };
    readonly number: number;
    readonly stack: AsyncStack;
    /** Of closing: how long ranges may take to be handed over. */
    readonly handover: () => AbortSignal;
    readonly signal: AbortSignal | undefined;
  },
): Promise<{ buffer: BufferNode; address: string }> {
  const { coord, logs, archive, listen, number, stack, handover, signal } = parts;
  // The address is part of what the buffer registers, so its server listens first.
  const server = await createBufferServer({ address: formatEndpoint(listen) });
  stack.defer(() => server.close({ graceMs: READER_GRACE_MS }));
  const address = formatEndpoint({ ...listen, port: server.port });
  const id = `buffer-${number}-${randomBytes(4).toString("hex")}`;
  const buffer = await openBuffer({
    id,
    address,
    coord,
    logs,
    archive,
    leaseTtlMs: config.leaseTtlMs,
    segmentMaxBytes: config.segmentMaxBytes,
    segmentMaxAgeMs: config.segmentMaxAgeMs,
    onEvent: (event) => log.buffer(id, event),
    ...(signal && { signal }),
  });
  stack.defer(() => buffer.close({ signal: handover() }));
  server.serve(buffer);
  return { buffer, address };
}

function inProcess(buffer: BufferNode): BufferConnection {
  return {
    publish: (batches, options) => buffer.publish(batches, options),
    read: (request, options) => buffer.read(request, options),
    getMany: (topic, keys, options) => buffer.getMany(topic, keys, options),
    describe: (topic, options) => buffer.describe(topic, options),
    // The buffer belongs to the process, not to the connection.
    async [Symbol.asyncDispose]() {},
  };
}

function served(
  stack: AsyncStack,
  what: Pick<Served, "http" | "grpc" | "client">,
  storeFailure?: AbortSignal,
): Served {
  const failed = new Promise<never>((_, reject) => {
    storeFailure?.addEventListener("abort", () => reject(storeFailure.reason), { once: true });
    void what.client?.ended.then(reject);
  });
  // Whoever does not look at it must not end the process by that.
  failed.catch(() => {});
  const close = () => stack.close();
  return { ...what, failed, close, [Symbol.asyncDispose]: close };
}
