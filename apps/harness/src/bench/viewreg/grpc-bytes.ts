/** The two services of the fixture servers, in bytes: neither side of a benchmark should spend its time on messages. */
import {
  type Client,
  type ClientUnaryCall,
  type MethodDefinition,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";

type BytesMethod = MethodDefinition<Buffer, Buffer>;

function method(path: string, responseStream = false): BytesMethod {
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
}

/** `grpc.health.v1`, as far as a server needs it whose only service is itself. */
export const healthService: { readonly check: BytesMethod; readonly watch: BytesMethod } = {
  check: method("/grpc.health.v1.Health/Check"),
  watch: method("/grpc.health.v1.Health/Watch", true),
};

/** HealthCheckResponse with its field 1, the status. */
export const serving: Buffer = Buffer.from([8, 1]);
export const notServing: Buffer = Buffer.from([8, 2]);

export const echoService: { readonly echo: BytesMethod } = { echo: method("/bench.Echo/Echo") };

export interface EchoClient extends Client {
  echo(bytes: Buffer, callback: (error: ServiceError | null, bytes?: Buffer) => void): ClientUnaryCall;
}

export const EchoClient: (new (
  ...args: ConstructorParameters<typeof Client>
) => EchoClient) & { readonly service: typeof echoService } = makeGenericClientConstructor(
  echoService,
  "bench.Echo",
) as never; // its methods are those of the service
