import type { Hono } from "hono";
import type { RouteOptions } from "./app.js";
import { HttpError } from "./errors.js";
import { jsonObject } from "./input.js";

/** Create, list and describe topics. */
export function addTopicRoutes(app: Hono, { client, bodies }: RouteOptions): void {
  app.post("/v1/topics", async (c) => {
    const { name, rangeSizeFactor } = await jsonObject(c, { fields: ["name", "rangeSizeFactor"], bodies });
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
}
