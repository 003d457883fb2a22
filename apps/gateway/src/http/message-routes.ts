import type { PublishMessage } from "@x/topic-gateway";
import type { Hono } from "hono";
import type { RouteOptions } from "./app.js";
import { bodyText } from "./body.js";
import type { HeldBytes } from "./byte-budget.js";
import { contentType, JSON_TYPE, MAX_MESSAGES, NDJSON_TYPE, tooMany } from "./input.js";
import { parseMessage } from "./json-message.js";
import { filledLines } from "./lines.js";

/** About what a message takes beside its text until it is durable: measured, of a process that was sent very many empty ones. */
const MESSAGE_BYTES = 1024;

/** Append one message (JSON) or many (NDJSON). All are checked before any is stored. */
export function addMessageRoutes(app: Hono, { client, metrics, bodies, unanswered }: RouteOptions): void {
  app.post("/v1/topics/:topic/messages", async (c) => {
    const topic = c.req.param("topic");
    const many = contentType(c, [JSON_TYPE, NDJSON_TYPE]) === NDJSON_TYPE;
    client.topics.get(topic);
    const parse = many ? parseLines : parseOne;
    const held = unanswered.hold();
    try {
      const messages = parse(await bodyText(c, bodies), held);
      // Not with the request's signal: one that is taken back fails what others send of its keys behind it.
      const ids = await client.publishMany(topic, messages);
      metrics.published(topic, ids.length);
      return c.json(many ? { ids } : { id: ids[0], ids });
    } finally {
      held.release();
    }
  });
}

function parseOne(text: string, held: HeldBytes): PublishMessage[] {
  held.add(MESSAGE_BYTES + text.length);
  return [parseMessage(text, "the body")];
}

/** Empty lines do no harm, and are counted, so that an error names the line that an editor shows. */
function parseLines(text: string, held: HeldBytes): PublishMessage[] {
  const messages: PublishMessage[] = [];
  for (const line of filledLines(text)) {
    if (messages.length === MAX_MESSAGES) throw tooMany("messages");
    held.add(MESSAGE_BYTES + line.text.length);
    messages.push(parseMessage(line.text, `line ${line.number}`));
  }
  return messages;
}
