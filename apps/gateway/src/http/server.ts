/** The HTTP server of a process: the whole interface for a gateway, health and metrics alone for a buffer. */
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { TopicClient } from "@x/topic-gateway";
import { type Endpoint, formatEndpoint } from "@x/viewreg";
import { Hono } from "hono";
import type { Log } from "../log.js";
import type { GatewayMetrics } from "../metrics.js";
import { httpApp } from "./app.js";
import { HttpSessions } from "./sessions.js";

export interface RunningHttpServer extends AsyncDisposable {
  /** `HOST:PORT`, as bound. */
  readonly address: string;
}

const SESSION_SILENCE_MS = 30_000;

/** Resolves when it listens. @throws the listener's error, which names the address */
export async function openHttpServer(options: {
  readonly endpoint: Endpoint;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  readonly client?: TopicClient;
}): Promise<RunningHttpServer> {
  const { endpoint, log, metrics, client } = options;
  const closing = new AbortController();
  let sessions: HttpSessions | undefined;
  let app: Hono;
  if (client) {
    const { clock } = client;
    sessions = new HttpSessions(client, { clock, silenceMs: SESSION_SILENCE_MS });
    const onError = (error: unknown): void => log.error("a request failed", error);
    app = httpApp({ client, sessions, metrics, clock, closing: closing.signal, onError });
  } else {
    app = new Hono();
    app.get("/healthz", (c) => c.json({ status: "ok" }));
    app.get("/metrics", async (c) =>
      c.text(await metrics.text(), 200, { "content-type": metrics.contentType }),
    );
  }
  const counted = new Hono();
  counted.use(async (c, next) => {
    const started = performance.now();
    await next();
    // The route, not the path: a stranger's paths must not become labels.
    const route = c.req.matchedRoutes.at(-1)?.path ?? "none";
    metrics.requestEnded(route, c.res.status, (performance.now() - started) / 1000);
  });
  counted.route("/", app);
  const server = createAdaptorServer({ fetch: counted.fetch }) as HttpServer;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: endpoint.host, port: endpoint.port }, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: formatEndpoint({ host: endpoint.host, port }),
    async [Symbol.asyncDispose]() {
      closing.abort(new Error("the server is closing"));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      await sessions?.close();
      // What is still open now is a stream that nobody reads to its end.
      server.closeAllConnections();
      await closed;
    },
  };
}
