/** The server's side of gRPC calls, as async iterables and promises. */
import type { ServerDuplexStream, ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import { toServiceError } from "./status.js";

/** The requests of a call. Reading the next one lets the client send on. Ends when the client ends its side or goes away. */
export async function* requestsOf<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
): AsyncGenerator<Request> {
  try {
    // By default the iterator destroys the stream behind its last request, and with it the answers that are still to come.
    for await (const request of call.iterator({ destroyOnReturn: false }) as AsyncIterable<Request>)
      yield request;
  } catch (error) {
    // A client that goes away in the middle shows as an error of the stream; nobody is left to be told.
    if (!call.cancelled) throw error;
  }
}

/** Aborts when the client goes away. The event also comes after a successful end, when nobody listens any more. */
export function signalOf(call: {
  on(event: "cancelled", listener: () => void): unknown;
  readonly cancelled: boolean;
}): AbortSignal {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error("the caller went away"));
  if (call.cancelled) abort();
  else call.on("cancelled", abort);
  return controller.signal;
}

/** Writes, and gives a promise to wait for while the client does not take what was written before. */
export function write<Request, Response>(
  call: ServerDuplexStream<Request, Response> | ServerWritableStream<Request, Response>,
  response: Response,
  signal: AbortSignal,
): Promise<void> | undefined {
  return signal.aborted || call.write(response) ? undefined : drained(call, signal);
}

/** Writes everything as fast as the client takes it, then ends the call: well, or with the error of the source. */
export async function respond<Request, Response>(
  call: ServerDuplexStream<Request, Response> | ServerWritableStream<Request, Response>,
  signal: AbortSignal,
  responses: AsyncIterable<Response>,
): Promise<void> {
  try {
    for await (const response of responses) {
      if (signal.aborted) return;
      await write(call, response, signal);
    }
    call.end();
  } catch (error) {
    if (!signal.aborted) call.emit("error", toServiceError(error));
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

export function unary<Request, Response>(
  handle: (request: Request, signal: AbortSignal) => Promise<Response>,
): (call: ServerUnaryCall<Request, Response>, done: sendUnaryData<Response>) => void {
  return (call, done) => {
    handle(call.request, signalOf(call)).then(
      (response) => done(null, response),
      (error) => done(toServiceError(error)),
    );
  };
}
