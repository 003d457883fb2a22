import {
  type Client,
  type ClientUnaryCall,
  type MethodDefinition,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../src/gen/grpc/health/v1/health.js";

const text: Omit<MethodDefinition<string, string>, "path"> = {
  requestStream: false,
  responseStream: false,
  requestSerialize: Buffer.from,
  requestDeserialize: String,
  responseSerialize: Buffer.from,
  responseDeserialize: String,
};
const kvService = { get: { ...text, path: "/example.Kv/Get" } };

interface KvClient extends Client {
  get(key: string, callback: (error: ServiceError | null, value: string) => void): ClientUnaryCall;
}

export const KvClient: (new (
  ...args: ConstructorParameters<typeof Client>
) => KvClient) & { readonly service: typeof kvService } = makeGenericClientConstructor(
  kvService,
  "example.Kv",
) as never; // its methods are those of the service

export function get(client: KvClient, key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.get(key, (error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

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
  server.addService(kvService, {
    get: ({ request }: { request: string }, callback: (error: null, value: string) => void) =>
      callback(null, `${request} has ${request.length} letters`),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}
