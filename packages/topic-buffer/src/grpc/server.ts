/** A buffer's gRPC server: both protocols, and `grpc.health.v1`. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { type Clock, TopicError } from "@x/topic-gateway/protocol";
import { ntail } from "@x/topic-gateway/wire";
import { HealthImplementation } from "grpc-health-check";
import type { BufferNode } from "../node.js";
import { systemRuntime } from "../system.js";
import { ntailHandlers } from "./ntail-service.js";
import { topicsHandlers, topicsService } from "./topics-service.js";
import { wideWindows } from "./wide-windows.js";

export interface BufferServerOptions {
  /** `HOST:PORT`; port 0 takes a free one. */
  readonly address: string;
  /** Can be given later by `serve`, since a buffer registers the address that its server got. Until then calls are "unavailable". */
  readonly buffer?: BufferNode;
  /** Default: insecure. */
  readonly credentials?: ServerCredentials;
  /** Default: the process's clock. */
  readonly clock?: Clock;
}

export interface BufferServer extends AsyncDisposable {
  readonly port: number;
  /** `HOST:PORT` as bound. */
  readonly address: string;
  /**
   * From now on calls go to the buffer, and `grpc.health.v1` says how it is: SERVING as long as it has a session of the store,
   * NOT_SERVING from when it begins to close, or waits for a new session.
   */
  serve(buffer: BufferNode): void;
  /** Lets calls that are under way end for up to `graceMs` (default 2,000), then cuts them off. Close the buffer first: that ends its streams. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/** Larger than the largest batch, or a chunk with the largest message. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const SERVICES = ["", "x.topics.v1.BufferService", "ntail.streams.v1.BufferService"];

/** Resolves when the server accepts calls. @throws TopicError "unavailable" when it can't listen there */
export async function createBufferServer(options: BufferServerOptions): Promise<BufferServer> {
  const { address, credentials = ServerCredentials.createInsecure(), clock = systemRuntime.clock } = options;
  let buffer: BufferNode | undefined;
  const current = (): BufferNode => {
    if (buffer) return buffer;
    throw new TopicError("unavailable", "the buffer is not open yet");
  };
  const server = new Server({
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    interceptors: [wideWindows],
  });
  server.addService(topicsService, topicsHandlers(current));
  server.addService(ntail.BufferServiceService, ntailHandlers(current, clock.wallMs));
  const health = new HealthImplementation(
    Object.fromEntries(SERVICES.map((name) => [name, "NOT_SERVING" as const])),
  );
  health.addToServer(server);
  const setHealth = (serving: boolean): void => {
    for (const name of SERVICES) health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
  };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (cause, bound) => {
      if (cause)
        reject(new TopicError("unavailable", `can't listen on ${address}: ${cause.message}`, { cause }));
      else resolve(bound);
    });
  });
  let unlisten = (): void => {};
  const serve = (next: BufferNode): void => {
    unlisten();
    buffer = next;
    unlisten = next.listen((state) => setHealth(state === "serving"));
    setHealth(next.status().state === "serving");
  };
  if (options.buffer) serve(options.buffer);
  let closing: Promise<void> | undefined;
  const close = ({ graceMs = 2_000 }: { readonly graceMs?: number } = {}): Promise<void> => {
    closing ??= new Promise((resolve) => {
      unlisten();
      setHealth(false);
      const cancel = clock.setTimer(graceMs, () => server.forceShutdown());
      server.tryShutdown(() => {
        cancel();
        resolve();
      });
    });
    return closing;
  };
  const bound = `${address.slice(0, address.lastIndexOf(":"))}:${port}`;
  return { port, address: bound, serve, close, [Symbol.asyncDispose]: () => close() };
}
