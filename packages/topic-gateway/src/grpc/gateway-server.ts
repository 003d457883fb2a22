/** The gateway's gRPC server: `ntail.streams.v1.GatewayService` on a TopicClient, with health and reflection. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { TopicClient } from "../client/topic-client.js";
import { TopicError } from "../errors.js";
import { type GatewayServiceServer, GatewayServiceService } from "../gen/ntail/streams/v1/service.js";
import { parseMessageId, ticksOfMicros } from "../protocol/message-id.js";
import { handleAppend } from "./append-handler.js";
import { unary } from "./call.js";
import { addHealthAndReflection } from "./reflection-and-health.js";
import { handleTail } from "./tail-handler.js";

export interface GatewayServerOptions {
  readonly client: TopicClient;
  /** `HOST:PORT`; port 0 takes a free one. */
  readonly address: string;
  /** Default: insecure. */
  readonly credentials?: ServerCredentials;
}

export interface GatewayServer extends AsyncDisposable {
  readonly port: number;
  /** Lets the calls on their way end for up to `graceMs` (default 2,000), then cuts them off. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/** Larger than the largest message. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

/** Resolves when the server accepts calls. @throws TopicError "unavailable" when it can't listen there */
export async function openGatewayServer(options: GatewayServerOptions): Promise<GatewayServer> {
  const { client, address, credentials = ServerCredentials.createInsecure() } = options;
  const server = new Server({ "grpc.max_receive_message_length": MAX_REQUEST_BYTES });
  server.addService(GatewayServiceService, gatewayHandlers(client));
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
  let closing: Promise<void> | undefined;
  const close = ({ graceMs = 2_000 }: { readonly graceMs?: number } = {}): Promise<void> => {
    closing ??= new Promise((resolve) => {
      serving.set(false);
      const uncut = client.clock.setTimer(graceMs, () => server.forceShutdown());
      server.tryShutdown(() => {
        uncut();
        resolve();
      });
    });
    return closing;
  };
  return { port, close, [Symbol.asyncDispose]: () => close() };
}

export function gatewayHandlers(client: TopicClient): GatewayServiceServer {
  let tails = 0;
  return {
    append: (call) => void handleAppend(client, call),
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
