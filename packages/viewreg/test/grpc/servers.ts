import {
  type ChannelInterface,
  type connectivityState,
  credentials,
  type Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { afterEach, vi } from "vitest";
import { pickPorts } from "../../../../apps/harness/src/servers/ports.js";
import type { Connection } from "../../src/connection.js";
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../src/gen/grpc/health/v1/health.js";
import type { GrpcChannel } from "../../src/grpc/index.js";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** Waits until the check passes, also on a machine that is busy with other things. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, 30_000);
}

export function onEnd(cleanup: () => void): void {
  cleanups.push(cleanup);
}

export const insecure = credentials.createInsecure();

/** For a server that is to come back on its port: not one that the system gives out, which another process could have taken meanwhile. */
export async function lastingPort(): Promise<number> {
  const [port = 0] = await pickPorts(1);
  return port;
}

/** Listens on loopback; ends with the test. */
export async function listen(
  server: Server,
  { port = 0, credentials = ServerCredentials.createInsecure() } = {},
): Promise<number> {
  onEnd(() => server.forceShutdown());
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

/** A health service whose statuses the test sets, and which counts what it is asked. */
export class Health {
  readonly statuses = new Map<string, ServingStatus>([["", ServingStatus.SERVING]]);
  readonly checked: string[] = [];
  /** Instead of an answer to Check. */
  failCheck: Partial<ServiceError> | undefined;
  failWatch: Partial<ServiceError> | undefined;
  hang = false;
  /** Check of these is not answered, as of all when it hangs. */
  readonly hanging = new Set<string>();
  readonly cancelled: string[] = [];
  readonly #watching = new Map<ServerWritableStream<HealthCheckRequest, HealthCheckResponse>, string>();

  get watched(): string[] {
    return [...this.#watching.values()].sort();
  }

  set(service: string, serving: ServingStatus): void {
    this.statuses.set(service, serving);
    for (const [call, name] of this.#watching) if (name === service) call.write({ status: serving });
  }

  endWatches(): void {
    for (const call of this.#watching.keys()) call.end();
  }

  addTo(server: Server): Server {
    const service: HealthServer = {
      check: (call, callback) => {
        const { service } = call.request;
        this.checked.push(service);
        if (this.hang || this.hanging.has(service)) {
          call.on("cancelled", () => this.cancelled.push(service));
          return;
        }
        if (this.failCheck !== undefined) return callback(this.failCheck);
        const serving = this.statuses.get(service);
        if (serving === undefined) callback({ code: status.NOT_FOUND, details: "unknown service" });
        else callback(null, { status: serving });
      },
      watch: (call) => {
        if (this.failWatch !== undefined) {
          call.emit("error", this.failWatch);
          return;
        }
        const { service } = call.request;
        this.#watching.set(call, service);
        call.on("cancelled", () => this.#watching.delete(call));
        call.on("finish", () => this.#watching.delete(call));
        call.write({ status: this.statuses.get(service) ?? ServingStatus.SERVICE_UNKNOWN });
      },
    };
    server.addService(HealthService, service);
    return server;
  }
}

/** Resolves when the connection is in the state, at once if it is. */
export function becomes(
  connection: Connection<GrpcChannel>,
  state: Connection<GrpcChannel>["state"],
): Promise<void> {
  return new Promise((resolve) => {
    if (connection.state === state) return resolve();
    const stop = connection.listen((now) => {
      if (now !== state) return;
      stop();
      resolve();
    });
  });
}

/** Resolves when the channel itself leaves a state. */
export function leaves(channel: ChannelInterface, state: connectivityState): Promise<void> {
  return new Promise((resolve) => {
    if (channel.getConnectivityState(false) !== state) return resolve();
    channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => resolve());
  });
}
