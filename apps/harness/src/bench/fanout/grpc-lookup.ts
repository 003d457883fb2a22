/** The service of the fixture servers, in bytes: a benchmark of waiting should not spend its time on messages. */
import {
  type CallOptions,
  type Client,
  type ClientUnaryCall,
  type MethodDefinition,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";

type BytesMethod = MethodDefinition<Buffer, Buffer>;

function method(path: string): BytesMethod {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
}

export const SERVICE = "bench.Lookup";

/** `get` takes as long as some work would; `repeats` says how many requests came that gRPC itself had sent again, as a u32. */
export const lookupService: { readonly get: BytesMethod; readonly repeats: BytesMethod } = {
  get: method(`/${SERVICE}/Get`),
  repeats: method(`/${SERVICE}/Repeats`),
};

type Callback = (error: ServiceError | null, bytes?: Buffer) => void;

export interface LookupClient extends Client {
  get(bytes: Buffer, options: CallOptions, callback: Callback): ClientUnaryCall;
  repeats(bytes: Buffer, options: CallOptions, callback: Callback): ClientUnaryCall;
}

export const LookupClient: (new (
  ...args: ConstructorParameters<typeof Client>
) => LookupClient) & { readonly service: typeof lookupService } = makeGenericClientConstructor(
  lookupService,
  SERVICE,
) as never; // its methods are those of the service

/** One call as a promise; an aborted signal cancels it. */
export function lookup(
  client: LookupClient,
  name: "get" | "repeats",
  { signal, timeoutMs }: { readonly signal?: AbortSignal; readonly timeoutMs: number },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => call.cancel();
    const call = client[name](
      request,
      { deadline: Date.now() + timeoutMs },
      (error, bytes = Buffer.alloc(0)) => {
        signal?.removeEventListener("abort", cancel);
        if (error === null) resolve(bytes);
        else reject(error);
      },
    );
    signal?.addEventListener("abort", cancel);
  });
}

const request = Buffer.alloc(8);
