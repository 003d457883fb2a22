import type { Hono } from "hono";
import { stream } from "hono/streaming";
import type { GatewayAppOptions } from "./app.js";
import { eitherSignal } from "./either-signal.js";
import { HttpError, toErrorAnswer } from "./errors.js";
import { NDJSON_TYPE, queryInteger } from "./input.js";
import { toJsonMessage } from "./json-message.js";

/** As many as fit into the line of a request anyway. */
const MAX_KEYS = 1_000;
const DEFAULT_TIMEOUT_MS = 6_000;
const MAX_TIMEOUT_MS = 60_000;

/**
 * The newest message of each key, as NDJSON in the order in which the buffers answer: `{key, message}`, with null for a key that has
 * none, or `{key, error}` for one that nobody could tell of in time.
 */
export function addKeysRoute(app: Hono, { client, metrics, closing, onError }: GatewayAppOptions): void {
  app.get("/v1/topics/:topic/keys", async (c) => {
    const topic = client.topics.get(c.req.param("topic")).name;
    const keys = c.req.queries("key") ?? [];
    if (keys.length === 0 || keys.length > MAX_KEYS) {
      throw new HttpError(
        400,
        "invalid-key",
        `the query must name 1 to ${MAX_KEYS} keys, as ?key=a&key=b, not ${keys.length}`,
      );
    }
    const timeoutMs = queryInteger(c, "timeoutMs", {
      fallback: DEFAULT_TIMEOUT_MS,
      min: 1,
      max: MAX_TIMEOUT_MS,
    });
    const { signal, release } = eitherSignal(c.req.raw.signal, closing);
    const answers = client.getMany(topic, keys, { timeoutMs, signal });
    // The first answer is waited for, so that a refused request gets its own status.
    const first = await answers.next().catch((error: unknown) => {
      release();
      throw error;
    });
    c.header("content-type", NDJSON_TYPE);
    return stream(c, async (lines) => {
      try {
        for (let next = first; !next.done; next = await answers.next()) {
          const { key, message, error } = next.value;
          if (message) metrics.delivered(topic, 1);
          const answer = error
            ? toErrorAnswer(error).body
            : { message: message ? toJsonMessage(message) : null };
          await lines.write(`${JSON.stringify({ key, ...answer })}\n`);
        }
      } catch (error) {
        // The status is sent already: an answer that breaks off in the middle says that it is not whole.
        if (!signal.aborted) onError(error);
        lines.abort();
      } finally {
        await answers.return();
        release();
      }
    });
  });
}
