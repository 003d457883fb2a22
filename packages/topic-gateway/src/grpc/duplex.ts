import type { ServerDuplexStream } from "@grpc/grpc-js";

/**
 * The requests of a call, as the client sends them: reading the next one is what lets it send on. Ends when the client ends its
 * side or goes away.
 */
export async function* requestsOf<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
): AsyncGenerator<Request> {
  try {
    for await (const request of call as AsyncIterable<Request>) yield request;
  } catch (error) {
    // A client that goes away in the middle shows as an error of the stream; there is nobody left to tell.
    if (!call.cancelled) throw error;
  }
}

/** An abort that follows the call's cancellation. The event also comes after a successful end, when nobody listens any more. */
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

/** Writes, and waits while the client does not take what was written before. */
export function write<Response>(
  call: ServerDuplexStream<unknown, Response>,
  response: Response,
  signal: AbortSignal,
): Promise<void> | undefined {
  if (signal.aborted || call.write(response)) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      call.removeListener("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    call.once("drain", done);
    signal.addEventListener("abort", done, { once: true });
  });
}
