import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { ServerInterceptor } from "@grpc/grpc-js";

/** As much as a client of ours takes from a buffer. */
const WINDOW_BYTES = 4 * 1024 * 1024;

const widened = new WeakSet<ServerHttp2Session>();

/**
 * Lets clients send this much before they have to hear from the server. The default of HTTP/2, 64 KiB, makes a batch of half a
 * megabyte take eight turns and back, each of which waits for both processes to get a processor.
 *
 * A client of grpc-js has an option for it, a server has none: it is done on the session under the call, where grpc-js 1.14 keeps it.
 * If it is not there, all works as before, only slower.
 */
export const wideWindows: ServerInterceptor = (_method, call) => {
  const { stream } = call as { readonly stream?: Partial<ServerHttp2Stream> };
  const session = stream?.session as ServerHttp2Session | undefined;
  if (session && !session.destroyed && !widened.has(session)) {
    widened.add(session);
    session.setLocalWindowSize(WINDOW_BYTES);
    session.settings({ initialWindowSize: WINDOW_BYTES });
  }
  return call as ReturnType<ServerInterceptor>;
};
