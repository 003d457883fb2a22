/** The HTTP interface put together. What the routes do is `@x/topic-gateway`'s. */
import type { BufferRegistry, TopicClient } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";
import { Hono } from "hono";
import type { ArchiveStatus } from "../archive/open-archive.js";
import type { GatewayMetrics } from "../metrics.js";
import { ByteBudget } from "./byte-budget.js";
import { HttpError, toErrorAnswer } from "./errors.js";
import type { HttpConfig } from "./http-config.js";
import { addKeysRoute } from "./keys-route.js";
import { addMessageRoutes } from "./message-routes.js";
import { refuseOtherSites } from "./other-sites.js";
import { addPage } from "./page.js";
import type { HttpSessions } from "./sessions.js";
import { statusReader } from "./status.js";
import { addSubscriptionRoutes } from "./subscription-routes.js";
import { addTailRoute } from "./tail-route.js";
import { addTopicRoutes } from "./topic-routes.js";

export interface HttpAppOptions {
  readonly metrics: GatewayMetrics;
  readonly onError: (error: unknown) => void;
}

export interface GatewayAppOptions extends HttpAppOptions, HttpConfig {
  readonly client: TopicClient;
  /** What is thought of the buffers, for the status. */
  readonly buffers: Pick<BufferRegistry, "judge" | "summary">;
  /** How the archive's stores are. */
  readonly archive: () => ArchiveStatus;
  readonly sessions: HttpSessions;
  readonly clock: Clock;
  /** Aborts when the server closes: open streams and waiting pulls end. */
  readonly closing: AbortSignal;
}

export interface RouteOptions extends GatewayAppOptions {
  /** What has arrived of the bodies of requests. */
  readonly bodies: ByteBudget;
  /** What messages take until they are durable. */
  readonly unanswered: ByteBudget;
}

/** Everything: the interface, the page, health and metrics. */
export function gatewayApp(options: GatewayAppOptions): Hono {
  const { client, limits, metrics, hosts } = options;
  const bodies = new ByteBudget(limits.maxBodyBytes, () => overloaded(503, "bodies of requests"));
  const unanswered = new ByteBudget(limits.maxUnansweredBytes, () =>
    overloaded(429, "messages that are not durable yet"),
  );
  metrics.watchBytes({ bodies: () => bodies.bytes, unanswered: () => unanswered.bytes });
  const routes: RouteOptions = { ...options, bodies, unanswered };
  const app = baseApp(options, () => client.failure);
  app.use("/v1/*", refuseOtherSites(hosts));
  const readStatus = statusReader(options);
  app.get("/v1/status", async (c) => c.json(await readStatus()));
  addTopicRoutes(app, routes);
  addMessageRoutes(app, routes);
  addKeysRoute(app, options);
  addSubscriptionRoutes(app, routes);
  addTailRoute(app, options);
  addPage(app);
  return app;
}

/** Of a process that is no gateway: health and metrics alone. */
export function healthApp(options: HttpAppOptions): Hono {
  return baseApp(options, () => undefined);
}

function baseApp({ metrics, onError }: HttpAppOptions, failure: () => unknown): Hono {
  const app = new Hono();
  app.onError((error, c) => {
    const { status, body } = toErrorAnswer(error);
    // Whoever went away gets no answer, and their going is no fault of ours.
    if (status === 500 && !c.req.raw.signal.aborted) onError(error);
    // What is left of a body that was refused is not read.
    const isOverloaded = body.error.code === "overloaded";
    if (status === 413 || (status === 503 && isOverloaded)) c.header("connection", "close");
    if (isOverloaded) c.header("retry-after", "1");
    return c.json(body, status);
  });
  app.notFound((c) =>
    c.json({ error: { code: "no-such-route", message: `there is no ${c.req.method} ${c.req.path}` } }, 404),
  );
  app.use(async (c, next) => {
    const started = performance.now();
    await next();
    // The route, not the path: a stranger's paths must not become labels.
    const route = c.req.matchedRoutes.at(-1)?.path ?? "none";
    metrics.requestEnded(route, c.res.status, (performance.now() - started) / 1000);
  });
  app.use("/v1/*", async (c, next) => {
    // It would run the GET behind it, and drop what that brings: messages of a pull, a tail that nobody reads.
    if (c.req.method === "HEAD")
      throw new HttpError(405, "method-not-allowed", "HEAD is not allowed here, GET is");
    await next();
  });
  app.get("/healthz", (c) => {
    const failed = failure();
    if (failed === undefined) return c.json({ status: "ok" });
    return c.json({ error: { code: "failed", message: `the gateway can't go on: ${String(failed)}` } }, 503);
  });
  app.get("/metrics", async (c) =>
    c.text(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
  return app;
}

function overloaded(status: 429 | 503, what: string): HttpError {
  return new HttpError(status, "overloaded", `the gateway holds too many ${what}: try again in a moment`);
}
