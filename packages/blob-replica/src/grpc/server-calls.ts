/** The server's side of gRPC calls, as async iterables and promises. */
import {
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import type { toServiceError } from "./status.js";

/** Told what is no BlobError, of a store or of ours: the client learns only that there was one. */
export type OnError = (error: unknown) => void;

type Sending<Response> = ServerWritableStream<unknown, Response> | ServerDuplexStream<unknown, Response>;

/** Aborts when the client goes away. The event also comes after a successful end, when nobody listens any more. */
function signalOf(call: {
  on(event: "cancelled", listener: () => void): unknown;
  readonly cancelled: boolean;
}): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error("the caller went away"));
  if (call.cancelled) abort();
  else call.on("cancelled", abort);
  return controller.signal;
}

export function unary<Request, Response>(
  fail: (error: unknown) => ReturnType<typeof toServiceError>,
  handle: (request: Request, signal: AbortSignal) => Promise<Response>,
): (call: ServerUnaryCall<Request, Response>, done: sendUnaryData<Response>) => void {
  return (call, done) => {
    const signal = signalOf(call);
    handle(call.request, signal).then(
      (response) => done(null, response),
      // Nobody is left to be told when the client went away.
      (error) => done(signal.aborted ? { code: status.CANCELLED } : fail(error)),
    );
  };
}

/** Writes everything as fast as the client takes it, then ends the call: well, or with the error of the source. */
export function streaming<Call extends Sending<Response>, Response>(
  fail: (error: unknown) => ReturnType<typeof toServiceError>,
  handle: (call: Call, signal: AbortSignal) => AsyncIterable<Response>,
): (call: Call) => void {
  return (call) => {
    const signal = signalOf(call);
    const send = async (): Promise<void> => {
      try {
        for await (const response of handle(call, signal)) {
          if (signal.aborted) return;
          if (!call.write(response)) await drained(call, signal);
        }
        call.end();
      } catch (error) {
        if (!signal.aborted) call.emit("error", fail(error));
      }
    };
    void send();
  };
}

/** The requests of a call. Reading the next one lets the client send on. */
export async function* requestsOf<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
): AsyncGenerator<Request, void, undefined> {
  try {
    // By default the iterator destroys the stream behind its last request, and with it the answers that are still to come.
    for await (const request of call.iterator({ destroyOnReturn: false }) as AsyncIterable<Request>) {
      yield request;
    }
  } catch (error) {
    // A client that goes away in the middle shows as an error of the stream; nobody is left to be told.
    if (!call.cancelled) throw error;
  }
}

function drained(call: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.removeListener("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    call.once("drain", done);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}
