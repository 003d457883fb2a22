import { Server, ServerCredentials } from "@grpc/grpc-js";
import {
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../src/gen/grpc/health/v1/health.js";

/** A server that says that it serves, and how to stop it. */
export interface ExampleServer {
  readonly port: number;
  stop(): void;
}

export async function startServer(): Promise<ExampleServer> {
  const server = new Server();
  server.addService(HealthService, {
    check: (_call: unknown, callback: (error: null, answer: { status: ServingStatus }) => void) =>
      callback(null, { status: ServingStatus.SERVING }),
    watch: (call: { write(answer: { status: ServingStatus }): void }) =>
      call.write({ status: ServingStatus.SERVING }),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}
