/** The HTTP interface: routes, limits, answers. What the routes do is `@x/topic-gateway`'s. */
import type { TopicClient } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamSSE } from "hono/streaming";
import type { GatewayMetrics } from "../metrics.js";
import { HttpError, toErrorAnswer } from "./errors.js";
import { parseMessage, toJsonMessage } from "./json-message.js";
import { addPage } from "./page.js";
import type { HttpSessions } from "./sessions.js";
import { readStatus } from "./status.js";

export interface HttpAppOptions {
  readonly client: TopicClient;
  readonly sessions: HttpSessions;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
  /** Aborts when the server closes: open streams end. */
  readonly closing: AbortSignal;
  readonly onError: (error: unknown) => void;
}

const MAX_BODY_BYTES = 32 * 1024 * 1024;
const MAX_PULL_MESSAGES = 10_000;
const DEFAULT_PULL_MESSAGES = 100;
const MAX_WAIT_MS = 30_000;
const MAX_PULL_BYTES = 8 * 1024 * 1024;
const NDJSON = "application/x-ndjson";
const HEARTBEAT_MS = 10_000;

export function httpApp(options: HttpAppOptions): Hono {
  const { client, sessions, metrics, closing } = options;
  const app = new Hono();

  app.onError((error, c) => {
    const { status, body } = toErrorAnswer(error);
    if (status === 500) options.onError(error);
    return c.json(body, status);
  });
  app.notFound((c) =>
    c.json({ error: { code: "no-such-route", message: `there is no ${c.req.method} ${c.req.path}` } }, 404),
  );
  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: () => {
        throw new HttpError(
          413,
          "body-too-large",
          `the body is too large: up to ${MAX_BODY_BYTES} bytes are allowed, send several requests`,
        );
      },
    }),
  );

  app.get("/healthz", (c) =>
    client.failure === undefined
      ? c.json({ status: "ok" })
      : c.json({ status: "failed", message: String(client.failure) }, 503),
  );
  app.get("/metrics", async (c) =>
    c.text(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
  app.get("/v1/status", async (c) => c.json(await readStatus(client)));

  app.post("/v1/topics", async (c) => {
    const { name, rangeSizeFactor } = await jsonBody(c, ["name", "rangeSizeFactor"]);
    if (rangeSizeFactor !== undefined && typeof rangeSizeFactor !== "number") {
      throw new HttpError(400, "invalid-range-size", `"rangeSizeFactor" must be an integer from 6 to 16`);
    }
    // A name of another type is refused with the sentence that tells what a name is.
    const topic = await client.topics.add(name as string, rangeSizeFactor);
    return c.json({ name: topic.name, rangeSizeFactor: topic.rangeSizeFactor }, 201);
  });
  app.get("/v1/topics", (c) =>
    c.json({ topics: client.topics.list().map(({ name, rangeSizeFactor }) => ({ name, rangeSizeFactor })) }),
  );
  app.get("/v1/topics/:topic", async (c) => {
    const topic = client.topics.get(c.req.param("topic"));
    const { messages, segments, silent } = await client.describe(topic.name);
    const ranges = topic.ranges.map(({ range, buffer, epoch }) => ({
      from: range.from,
      to: range.to - 1,
      buffer: buffer ?? null,
      epoch: epoch === undefined ? null : String(epoch),
    }));
    const subscriptions = client.listSubscriptions(topic.name);
    return c.json({
      name: topic.name,
      rangeSizeFactor: topic.rangeSizeFactor,
      messages,
      ranges,
      segments,
      subscriptions,
      silent,
    });
  });

  app.post("/v1/topics/:topic/messages", async (c) => {
    const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    const text = await c.req.text();
    const lines = type === NDJSON ? text.split("\n").filter((line) => line.trim() !== "") : [text];
    if (type !== NDJSON && type !== "application/json") {
      throw new HttpError(
        415,
        "unsupported-media-type",
        `the content type ${JSON.stringify(type)} is not known: application/json for one message, ${NDJSON} for many`,
      );
    }
    const messages = lines.map((line, i) =>
      parseMessage(line, type === NDJSON ? `line ${i + 1}` : "the body"),
    );
    const ids = await client.publishMany(c.req.param("topic"), messages, { signal: c.req.raw.signal });
    metrics.published(c.req.param("topic"), ids.length);
    return c.json(type === NDJSON ? { ids } : { id: ids[0], ids });
  });

  app.post("/v1/topics/:topic/subscriptions", async (c) => {
    const { name, mode = "earliest" } = await jsonBody(c, ["name", "mode"]);
    if (mode !== "earliest" && mode !== "latest") {
      throw new HttpError(400, "invalid-argument", `"mode" must be "earliest" or "latest"`);
    }
    const topic = c.req.param("topic");
    await client.createSubscription(topic, name as string, { mode, signal: c.req.raw.signal });
    return c.json({ topic, name, mode }, 201);
  });
  app.get("/v1/topics/:topic/subscriptions", (c) =>
    c.json({ subscriptions: client.listSubscriptions(c.req.param("topic")).map((name) => ({ name })) }),
  );

  app.get("/v1/topics/:topic/subscriptions/:name/messages", async (c) => {
    const { topic, name } = c.req.param();
    const consumer = c.req.query("consumer");
    if (consumer === undefined)
      throw new HttpError(400, "invalid-consumer-name", "the query must name the consumer: ?consumer=NAME");
    const limits = {
      maxMessages: queryCount(c, "max", DEFAULT_PULL_MESSAGES, 1, MAX_PULL_MESSAGES),
      waitMs: queryCount(c, "waitMs", 0, 0, MAX_WAIT_MS),
      maxBytes: MAX_PULL_BYTES,
      signal: AbortSignal.any([c.req.raw.signal, closing]),
    };
    const messages = await sessions.use(topic, name, consumer, (session) => session.pull(limits));
    metrics.delivered(topic, messages.length);
    const lines = messages.map(
      (message) => `${JSON.stringify({ ...toJsonMessage(message), ack: message.ack })}\n`,
    );
    return c.body(lines.join(""), 200, { "content-type": NDJSON });
  });
  app.post("/v1/topics/:topic/subscriptions/:name/commit", async (c) => {
    const { topic, name } = c.req.param();
    const { consumer, acks } = await jsonBody(c, ["consumer", "acks"]);
    if (typeof consumer !== "string")
      throw new HttpError(400, "invalid-consumer-name", `"consumer" must name the consumer`);
    if (!Array.isArray(acks) || !acks.every((ack) => typeof ack === "string")) {
      throw new HttpError(400, "invalid-ack", `"acks" must be a list of what "ack" said in the messages`);
    }
    await sessions.useExisting(topic, name, consumer, async (session) => {
      // Together, so that they share transactions; the first that fails is told.
      await Promise.all(acks.map((ack) => session.acknowledge(ack)));
    });
    return c.json({ committed: acks.length });
  });

  app.get("/v1/topics/:topic/tail", (c) => {
    const topic = client.topics.get(c.req.param("topic")).name;
    return streamSSE(
      c,
      async (stream) => {
        const gone = new AbortController();
        stream.onAbort(() => gone.abort());
        const signal = AbortSignal.any([gone.signal, closing]);
        let beat: () => void = () => {};
        const heartbeat = (): void => {
          void stream.write(": still here\n\n");
          beat = options.clock.setTimer(HEARTBEAT_MS, heartbeat);
        };
        await stream.writeSSE({ event: "ready", data: JSON.stringify({ topic }) });
        heartbeat();
        try {
          for await (const message of client.tail(topic, { signal })) {
            metrics.delivered(topic, 1);
            await stream.writeSSE({
              id: message.id,
              event: "message",
              data: JSON.stringify(toJsonMessage(message)),
            });
          }
        } catch (error) {
          if (!signal.aborted) throw error;
        } finally {
          beat();
        }
      },
      async (error, stream) => {
        await stream.writeSSE({ event: "error", data: JSON.stringify(toErrorAnswer(error).body) });
      },
    );
  });

  addPage(app);
  return app;
}

async function jsonBody(c: Context, fields: readonly string[]): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(await c.req.text());
  } catch (error) {
    throw new HttpError(400, "invalid-json", `the body is no JSON: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new HttpError(400, "invalid-json", `the body must be a JSON object with ${fields.join(", ")}`);
  }
  const unknown = Object.keys(value).find((field) => !fields.includes(field));
  if (unknown !== undefined) {
    throw new HttpError(
      400,
      "invalid-argument",
      `the field ${JSON.stringify(unknown).slice(0, 64)} is not known: ${fields.join(", ")} are`,
    );
  }
  return value as Record<string, unknown>;
}

function queryCount(c: Context, name: string, fallback: number, min: number, max: number): number {
  const text = c.req.query(name);
  if (text === undefined) return fallback;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new HttpError(400, "invalid-argument", `"${name}" must be an integer from ${min} to ${max}`);
}
