/** The gateway's gRPC server: `ntail.streams.v1.GatewayService` on a TopicClient, with health and reflection. */
import type { Server as NetServer } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { TopicClient } from "../client/topic-client.js";
import { TopicError } from "../errors.js";
import { type GatewayServiceServer, GatewayServiceService } from "../gen/ntail/streams/v1/service.js";
import { parseMessageId, ticksOfMicros } from "../protocol/message-id.js";
import { handleAppend } from "./append-handler.js";
import { unary } from "./call.js";
import { limitedCalls } from "./limited-call.js";
import { addHealthAndReflection } from "./reflection-and-health.js";
import { type GatewayServerLimits, parseLimits, ServerLoad } from "./server-load.js";
import { handleTail } from "./tail-handler.js";

export interface GatewayServerOptions {
  readonly client: TopicClient;
  /** `HOST:PORT`; port 0 takes a free one. */
  readonly address: string;
  /** Default: insecure. */
  readonly credentials?: ServerCredentials;
  /** What all callers together may take of the process. */
  readonly limits?: GatewayServerLimits;
}

export interface GatewayServer extends AsyncDisposable {
  readonly port: number;
  /** Calls that are open now, and bytes that they hold, as its limits count them. */
  readonly load: { readonly calls: number; readonly bytes: number };
  /** Lets the calls on their way end for up to `graceMs` (default 2,000), then cuts them off. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/** Larger than the largest message. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** Of one connection, so that none has all the processor's time: a client keeps further ones until others end. */
const MAX_CALLS_PER_CONNECTION = 256;
/** Without calls. Clients connect again when they need to. */
const MAX_IDLE_MS = 5 * 60_000;
/** A client that vanished ends its calls by not answering a ping within 20 s. */
const KEEPALIVE_MS = 60_000;

/** Resolves when the server accepts calls. @throws TopicError "unavailable" when it can't listen there, "invalid-argument" */
export async function openGatewayServer(options: GatewayServerOptions): Promise<GatewayServer> {
  const { client, address, credentials = ServerCredentials.createInsecure() } = options;
  const limits = parseLimits(options.limits);
  const { clock } = client;
  const load = new ServerLoad(limits, clock);
  const server = new Server({
    "grpc.max_receive_message_length": MAX_REQUEST_BYTES,
    "grpc.max_concurrent_streams": MAX_CALLS_PER_CONNECTION,
    "grpc.max_connection_idle_ms": MAX_IDLE_MS,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    interceptors: [
      limitedCalls({
        load,
        clock,
        stallTimeoutMs: limits.stallTimeoutMs,
        maxRequestBytes: MAX_REQUEST_BYTES,
      }),
    ],
  });
  server.addService(GatewayServiceService, gatewayHandlers(client, load));
  const serving = addHealthAndReflection(server, {
    services: ["ntail.streams.v1.GatewayService"],
    protoFiles: ["ntail/streams/v1/service.proto"],
  });
  // A client whose watch of the records has ended is of no more use, nor is its server.
  void client.ended.then(() => serving.set(false));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error)
        reject(
          new TopicError("unavailable", `can't listen on ${address}: ${error.message}`, { cause: error }),
        );
      else resolve(bound);
    });
  });
  limitConnections(server, limits.maxConnections);
  let closing: Promise<void> | undefined;
  const close = ({ graceMs = 2_000 }: { readonly graceMs?: number } = {}): Promise<void> => {
    closing ??= new Promise((resolve) => {
      serving.set(false);
      const uncut = clock.setTimer(graceMs, () => server.forceShutdown());
      server.tryShutdown(() => {
        uncut();
        resolve();
      });
    });
    return closing;
  };
  return { port, load, close, [Symbol.asyncDispose]: () => close() };
}

/** grpc-js has no option for it: it is set on the servers below, where grpc-js 1.14 keeps them. */
function limitConnections(server: Server, maxConnections: number): void {
  const { http2Servers } = server as unknown as { readonly http2Servers?: Map<NetServer, unknown> };
  for (const listening of http2Servers?.keys() ?? []) listening.maxConnections = maxConnections;
}

/** @param load counts messages that are not durable yet */
export function gatewayHandlers(
  client: TopicClient,
  load: Pick<ServerLoad, "add" | "remove"> = { add() {}, remove() {} },
): GatewayServiceServer {
  let tails = 0;
  return {
    append: (call) => void handleAppend(client, call, load),
    tail: (call) => {
      tails += 1;
      void handleTail(client, call, `grpc-${tails}`);
    },
    get: unary(async ({ topic, key, fromTime }) => {
      // A number of milliseconds can't tell all times apart: it is asked from a whole one, and the newest message's id tells the rest.
      const from = fromTime > 0n ? { fromTimeMs: Number(fromTime / 1000n) } : {};
      const found = await client.get(topic, key, from);
      if (!found || (fromTime > 0n && parseMessageId(found.id).time < ticksOfMicros(fromTime)))
        throw new TopicError("message-not-found", `the topic "${topic}" has no message of that key`);
      return { msgId: found.id, data: Buffer.from(found.data) };
    }),
    createTopic: unary(async ({ topic }) => {
      await client.topics.add(topic);
      return {};
    }),
    listTopics: unary(async () => ({ topics: client.topics.list().map(({ name }) => name) })),
    createSubscription: unary(async ({ topic, subscription }) => {
      await client.createSubscription(topic, subscription);
      return {};
    }),
    listSubscriptions: unary(async ({ topic }) => ({ subscriptions: client.listSubscriptions(topic) })),
  };
}
