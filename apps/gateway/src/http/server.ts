/** The HTTP server of a process: the whole interface for a gateway, health and metrics alone for a buffer. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener } from "@hono/node-server";
import type { BufferRegistry, TopicClient } from "@x/topic-gateway";
import { type Endpoint, formatEndpoint } from "@x/viewreg";
import type { ArchiveStatus } from "../archive/open-archive.js";
import type { Log } from "../log.js";
import type { GatewayMetrics } from "../metrics.js";
import { gatewayApp, healthApp } from "./app.js";
import { type ErrorBody, HttpError } from "./errors.js";
import type { HttpConfig } from "./http-config.js";
import { HttpSessions } from "./sessions.js";

export interface RunningHttpServer extends AsyncDisposable {
  /** `HOST:PORT`, as bound. */
  readonly address: string;
}

const SESSION_SILENCE_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
/** How much later than it should a request may be timed out. */
const TIMEOUT_CHECK_MS = 5_000;
/** For the other side to read why its connection ends. */
const LINGER_MS = 1_000;

/** Resolves when it listens. @throws the listener's error */
export async function openHttpServer(options: {
  readonly endpoint: Endpoint;
  readonly config: HttpConfig;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  /** How long requests on their way may take when the server closes. */
  readonly stopGraceMs: number;
  /** Of a gateway. */
  readonly gateway?: {
    readonly client: TopicClient;
    readonly buffers: BufferRegistry;
    readonly archive: () => ArchiveStatus;
  };
}): Promise<RunningHttpServer> {
  const { endpoint, config, log, metrics, stopGraceMs, gateway } = options;
  const { maxConnections, requestTimeoutMs } = config.limits;
  const closing = new AbortController();
  const onError = (error: unknown): void => log.error("a request failed", error);
  const sessions =
    gateway &&
    new HttpSessions(gateway.client, { clock: gateway.client.clock, silenceMs: SESSION_SILENCE_MS });
  if (sessions) metrics.watchSessions(() => sessions.size);
  const app =
    gateway && sessions
      ? gatewayApp({
          ...gateway,
          limits: config.limits,
          hosts: [endpoint.host.toLowerCase(), ...config.hosts],
          sessions,
          metrics,
          clock: gateway.client.clock,
          closing: closing.signal,
          onError,
        })
      : healthApp({ metrics, onError });
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, requestTimeoutMs),
    },
    getRequestListener(app.fetch, {
      // Requests that are so wrong that they reach no route, such as one without a host.
      errorHandler: (error) => Response.json(badRequest((error as Error).message), { status: 400 }),
    }),
  );
  server.maxConnections = maxConnections;
  server.on("clientError", answerClientError);
  await listen(server, endpoint);
  const { port } = server.address() as AddressInfo;
  return {
    address: formatEndpoint({ host: endpoint.host, port }),
    async [Symbol.asyncDispose]() {
      closing.abort(new HttpError(503, "closing", "the gateway is stopping; ask again in a moment"));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const cut = setTimeout(() => server.closeAllConnections(), stopGraceMs);
      await Promise.all([closed, sessions?.close()]).finally(() => clearTimeout(cut));
    },
  };
}

function listen(server: Server, { host, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}

/** What Node's parser refuses gets an answer of the same form as everything else. */
function answerClientError(error: Error & { readonly code?: string }, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, body] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? (["431 Request Header Fields Too Large", tooLargeHeaders] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? (["408 Request Timeout", timedOut] as const)
        : (["400 Bad Request", badRequest("this is not an HTTP/1.1 request")] as const);
  const text = JSON.stringify(body);
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\nconnection: close`;
  socket.end(`${head}\r\n\r\n${text}`);
  // Ended alone, it would stay as long as the other side likes, with all that its request holds. Destroyed at once, the answer could be lost.
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

const tooLargeHeaders: ErrorBody = {
  error: { code: "headers-too-large", message: "the headers are too large: up to 16 KiB in all are allowed" },
};
const timedOut: ErrorBody = {
  error: { code: "request-timeout", message: "the request did not arrive in time" },
};

function badRequest(message: string): ErrorBody {
  return { error: { code: "bad-request", message } };
}
