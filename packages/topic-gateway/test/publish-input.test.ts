import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AppendRetry, type PublishMessage, TopicClient, TopicError } from "../src/client.js";
import { type PublishingWorld, publishingWorld } from "./support/publishing-world.js";

let world: PublishingWorld;
let client: TopicClient;
beforeAll(async () => {
  world = await publishingWorld();
  client = await open({});
});
afterAll(async () => {
  await client.close();
  await world[Symbol.asyncDispose]();
});

const open = (options: { readonly appendRetry?: unknown }): Promise<TopicClient> => {
  const { coord, runtime } = world.context;
  return TopicClient.open({ coord, runtime, ...(options as { readonly appendRetry?: AppendRetry }) });
};
async function errorOf(promise: Promise<unknown>): Promise<{ code?: string; message?: string }> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(TopicError);
  return error as TopicError;
}

describe("publish refuses", () => {
  it.each([
    [
      "data that is missing",
      { key: "k" },
      /the data of a message must be text or a Uint8Array, not undefined/,
    ],
    ["data that is null", { key: "k", data: null }, /not null/],
    ["data that is a number", { key: "k", data: 7 }, /not number/],
    ["an array", { key: "k", data: [1, 2] }, /not Array/],
    ["wider numbers than bytes", { key: "k", data: new Uint16Array([256, 257]) }, /not Uint16Array/],
    ["a view without elements", { key: "k", data: new DataView(new ArrayBuffer(2)) }, /not DataView/],
    ["bare memory", { key: "k", data: new ArrayBuffer(2) }, /not ArrayBuffer/],
    ["an object without a prototype", { key: "k", data: Object.create(null) }, /not Object/],
    [
      "a time that is a bigint",
      { key: "k", data: "", timeMs: 7n },
      /the time of a message must be a number, not bigint/,
    ],
    ["a time that is text", { key: "k", data: "", timeMs: "7" }, /not string/],
    [
      "headers that are text",
      { key: "k", data: "", headers: "a" },
      /the headers of a message must be an object, not string/,
    ],
    ["no message", undefined, /a message must be an object, not undefined/],
    ["null", null, /a message must be an object, not null/],
    ["text", "hello", /a message must be an object, not string/],
  ])("%s", async (_, message, text) => {
    for (const promise of [
      client.publish("t", message as unknown as PublishMessage),
      client.publishMany("t", [{ key: "k", data: "fine" }, message as unknown as PublishMessage]),
    ]) {
      expect(await errorOf(promise)).toMatchObject({
        code: "invalid-argument",
        message: expect.stringMatching(text),
      });
    }
    expect(world.streams("a:1")).toEqual([]);
  });

  it.each([[undefined], [null], ["ab"], [{ length: 1 }]])("%j instead of many messages", async (messages) => {
    const error = await errorOf(client.publishMany("t", messages as unknown as PublishMessage[]));
    expect(error).toMatchObject({
      code: "invalid-argument",
      message: expect.stringMatching(/an array of messages/),
    });
  });

  it("an array with holes", async () => {
    expect(await errorOf(client.publishMany("t", new Array(2)))).toMatchObject({ code: "invalid-argument" });
  });
});

describe("appendRetry", () => {
  it.each([
    [{ maxAttempts: 0 }],
    [{ maxAttempts: -1 }],
    [{ maxAttempts: 1.5 }],
    [{ maxAttempts: Number.NaN }],
    [{ maxAttempts: "3" }],
    [{ maxAttempts: null }],
    [{ deadlineMs: 0 }],
    [{ deadlineMs: -1 }],
    [{ deadlineMs: Number.NaN }],
    [{ deadlineMs: "30000" }],
    [{ deadlineMs: 30n }],
    [null],
    [30],
  ])("%o is refused before anything is opened", async (appendRetry) => {
    const { clock } = world;
    const timers = clock.everSet;
    const error = await errorOf(open({ appendRetry }));
    expect(error).toMatchObject({
      code: "invalid-argument",
      message: expect.stringMatching(/appendRetry.* must be/),
    });
    expect(clock.everSet).toBe(timers);
  });

  it.each([
    [{}],
    [{ maxAttempts: 1, deadlineMs: 0.5 }],
    [{ maxAttempts: Number.POSITIVE_INFINITY, deadlineMs: Number.POSITIVE_INFINITY }],
    [{ maxAttempts: undefined, deadlineMs: undefined }],
  ])("%o is fine", async (appendRetry) => {
    await (await open({ appendRetry })).close();
  });
});
