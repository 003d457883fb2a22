import type { Hono } from "hono";
import type { GatewayAppOptions } from "./app.js";
import { bodyText, contentType, JSON_TYPE, NDJSON_TYPE } from "./input.js";
import { parseMessage } from "./json-message.js";

/** Append one message (JSON) or many (NDJSON). All are checked before any is stored. */
export function addMessageRoutes(app: Hono, { client, metrics }: GatewayAppOptions): void {
  app.post("/v1/topics/:topic/messages", async (c) => {
    const topic = c.req.param("topic");
    const many = contentType(c, [JSON_TYPE, NDJSON_TYPE]) === NDJSON_TYPE;
    client.topics.get(topic);
    const text = await bodyText(c);
    const messages = many
      ? // Empty lines do no harm, and are counted, so that an error names the line that an editor shows.
        text.split("\n").flatMap((line, i) => (line.trim() === "" ? [] : parseMessage(line, `line ${i + 1}`)))
      : [parseMessage(text, "the body")];
    const ids = await client.publishMany(topic, messages, { signal: c.req.raw.signal });
    metrics.published(topic, ids.length);
    return c.json(many ? { ids } : { id: ids[0], ids });
  });
}
