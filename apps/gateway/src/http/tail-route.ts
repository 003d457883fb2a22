import type { Hono } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import type { GatewayAppOptions } from "./app.js";
import { eitherSignal } from "./either-signal.js";
import { toErrorAnswer } from "./errors.js";
import { toJsonMessage } from "./json-message.js";

/** Shorter than what proxies wait for a sign of life. */
const HEARTBEAT_MS = 10_000;

/** What is published from now on, as server-sent events: "ready" once the start is known, then "message" for each, "error" when it can't go on. */
export function addTailRoute(app: Hono, options: GatewayAppOptions): void {
  const { client, metrics, clock, closing, onError } = options;

  app.get("/v1/topics/:topic/tail", (c) => {
    const topic = client.topics.get(c.req.param("topic")).name;
    return streamSSE(c, async (stream) => {
      const { signal, release } = eitherSignal(c.req.raw.signal, closing);
      metrics.tailBegan();
      const quiet = keepAlive(stream);
      try {
        const onStart = (): void => void stream.writeSSE({ event: "ready", data: JSON.stringify({ topic }) });
        for await (const message of client.tail(topic, { onStart, signal })) {
          metrics.delivered(topic, 1);
          const data = JSON.stringify(toJsonMessage(message));
          await stream.writeSSE({ id: message.id, event: "message", data });
        }
      } catch (error) {
        if (!signal.aborted) await tellError(stream, error);
      } finally {
        release();
        quiet();
        metrics.tailEnded();
      }
    });
  });

  function keepAlive(stream: SSEStreamingApi): () => void {
    const beat = (): void => {
      void stream.write(": still here\n\n");
      cancel = clock.setTimer(HEARTBEAT_MS, beat);
    };
    let cancel = clock.setTimer(HEARTBEAT_MS, beat);
    return () => cancel();
  }

  async function tellError(stream: SSEStreamingApi, error: unknown): Promise<void> {
    const { status, body } = toErrorAnswer(error);
    if (status === 500) onError(error);
    await stream.writeSSE({ event: "error", data: JSON.stringify(body) });
  }
}
