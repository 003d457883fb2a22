import type { Hono } from "hono";
import type { RouteOptions } from "./app.js";
import { eitherSignal } from "./either-signal.js";
import { HttpError } from "./errors.js";
import { jsonObject, MAX_MESSAGES, NDJSON_TYPE, queryInteger, tooMany } from "./input.js";
import { toJsonMessage } from "./json-message.js";

const DEFAULT_PULL_MESSAGES = 100;
const MAX_PULL_BYTES = 8 * 1024 * 1024;
const MAX_WAIT_MS = 30_000;
/** A first pull has its session to open and its first messages to fetch: one that does not wait at all comes back empty. */
const DEFAULT_WAIT_MS = 1_000;

/** Create and list subscriptions; pull, commit, and end a consumer's session. */
export function addSubscriptionRoutes(app: Hono, options: RouteOptions): void {
  const { client, sessions, metrics, closing, bodies } = options;

  app.post("/v1/topics/:topic/subscriptions", async (c) => {
    const { name, mode = "earliest" } = await jsonObject(c, { fields: ["name", "mode"], bodies });
    if (mode !== "earliest" && mode !== "latest") {
      throw new HttpError(400, "invalid-argument", `"mode" must be "earliest" or "latest"`);
    }
    const topic = c.req.param("topic");
    // A name of another type is refused with the sentence that tells what a name is.
    await client.createSubscription(topic, name as string, { mode, signal: c.req.raw.signal });
    return c.json({ topic, name, mode }, 201);
  });

  app.get("/v1/topics/:topic/subscriptions", (c) =>
    c.json({ subscriptions: client.listSubscriptions(c.req.param("topic")).map((name) => ({ name })) }),
  );

  app.get("/v1/topics/:topic/subscriptions/:name/messages", async (c) => {
    const { topic, name: subscription } = c.req.param();
    const consumer = c.req.query("consumer");
    if (consumer === undefined) {
      throw new HttpError(400, "invalid-consumer-name", "the query must name the consumer: ?consumer=NAME");
    }
    const gone = c.req.raw.signal;
    const limits = {
      maxMessages: queryInteger(c, "max", {
        fallback: DEFAULT_PULL_MESSAGES,
        min: 1,
        max: MAX_MESSAGES,
      }),
      waitMs: queryInteger(c, "waitMs", { fallback: DEFAULT_WAIT_MS, min: 0, max: MAX_WAIT_MS }),
      maxBytes: MAX_PULL_BYTES,
    };
    const path = { topic, subscription, consumer };
    const { signal, release } = eitherSignal(gone, closing);
    const messages = await sessions
      .use(path, (session) => session.pull({ ...limits, signal }))
      .finally(release);
    if (messages.length > 0) {
      // An answer that breaks off must not be passed over: whoever commits a later message would commit these as well.
      const redeliver = (): void => void sessions.end(path);
      if (gone.aborted) redeliver();
      else gone.addEventListener("abort", redeliver, { once: true });
    }
    metrics.delivered(topic, messages.length);
    const lines = messages.map(
      (message) => `${JSON.stringify({ ...toJsonMessage(message), ack: message.ack })}\n`,
    );
    return c.body(lines.join(""), 200, { "content-type": NDJSON_TYPE });
  });

  app.post("/v1/topics/:topic/subscriptions/:name/commit", async (c) => {
    const { topic, name: subscription } = c.req.param();
    const { consumer, acks } = await jsonObject(c, { fields: ["consumer", "acks"], bodies });
    if (typeof consumer !== "string") {
      throw new HttpError(400, "invalid-consumer-name", `"consumer" must name the consumer that pulled`);
    }
    if (Array.isArray(acks) && acks.length > MAX_MESSAGES) throw tooMany("acks");
    if (!Array.isArray(acks) || !acks.every((ack) => typeof ack === "string")) {
      throw new HttpError(400, "invalid-ack", `"acks" must be a list of what "ack" said in the messages`);
    }
    await sessions.useExisting({ topic, subscription, consumer }, (session) => session.acknowledgeAll(acks));
    return c.json({ committed: acks.length });
  });

  app.delete("/v1/topics/:topic/subscriptions/:name/consumers/:consumer", async (c) => {
    const { topic, name: subscription, consumer } = c.req.param();
    return c.json({ ended: await sessions.end({ topic, subscription, consumer }) });
  });
}
