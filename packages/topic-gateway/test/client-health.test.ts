import { murmur3Mod } from "@x/space";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { BufferHealth, TopicClient } from "../src/client.js";
import { inRange } from "../src/protocol.js";
import { type LocalSystem, localSystem, until } from "./support/local-system.js";

const one = "127.0.0.1:1";
const two = "127.0.0.1:2";
const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);

describe("a client that is told which buffers do not answer", () => {
  let system: LocalSystem;
  let client: TopicClient;
  let ofOne: Set<string>;
  const unwell = new Map<string, string>();
  const reports: string[] = [];
  const health: BufferHealth = {
    unwell: (address) => unwell.get(address),
    report: (address, outcome) => void reports.push(`${address} ${outcome}`),
  };

  beforeEach(async () => {
    system = await localSystem({ buffers: 2 });
    client = await system.openClient({ health });
    await client.topics.add("t");
    const owners = () => new Set(client.topics.get("t").ranges.map(({ buffer }) => buffer));
    await until(() => owners().size === 2 && !owners().has(undefined), "both buffers have ranges");
    await client.publishMany(
      "t",
      keys.map((key) => ({ key, data: `of ${key}` })),
    );
    const { ranges } = client.topics.get("t");
    ofOne = new Set(
      keys.filter((key) =>
        ranges.some(({ range, buffer }) => buffer === one && inRange(murmur3Mod(key, 65_535), range)),
      ),
    );
    expect(ofOne.size).toBeGreaterThan(0);
    expect(ofOne.size).toBeLessThan(keys.length);
    system.asked.length = 0;
    reports.length = 0;
  });
  afterEach(async () => {
    unwell.clear();
    await system[Symbol.asyncDispose]();
  });

  it("asks all of them while nothing is said against any, and reports how that went", async () => {
    for await (const { key, message } of client.getMany("t", keys))
      expect(Buffer.from(message?.data ?? []).toString()).toBe(`of ${key}`);
    expect((await client.describe("t")).messages).toBe(keys.length);
    expect(new Set(system.asked)).toEqual(
      new Set([`${one} getMany`, `${two} getMany`, `${one} describe`, `${two} describe`]),
    );
    expect(new Set(reports)).toEqual(new Set([`${one} ok`, `${two} ok`]));
  });

  it("describes a topic without them, at once", async () => {
    unwell.set(one, "silent");
    const { silent, messages } = await client.describe("t", { timeoutMs: 60_000 });
    expect(silent).toEqual([one]);
    expect(messages).toBe(keys.length - ofOne.size);
    expect(system.asked).toEqual([`${two} describe`]);
    expect(reports, "who was not asked gave no answer").toEqual([`${two} ok`]);
  });

  it("names them with the keys that nobody else has, and does not ask them", async () => {
    unwell.set(one, "silent; it last answered 1.0 s ago");
    for await (const { key, error, message } of client.getMany("t", keys, { timeoutMs: 3_000 })) {
      expect(error?.code).toBe(ofOne.has(key) ? "unavailable" : undefined);
      expect(error?.message ?? "").toMatch(
        ofOne.has(key) ? /^the buffer at 127\.0\.0\.1:1\b.* is silent; it last answered 1\.0 s ago$/ : /^$/,
      );
      expect(message === undefined).toBe(ofOne.has(key));
    }
    expect(new Set(system.asked)).toEqual(new Set([`${two} getMany`]));
  });

  it("gets their keys as soon as they answer again", async () => {
    unwell.set(one, "silent");
    const found: string[] = [];
    for await (const { key, message, error } of client.getMany("t", keys, { timeoutMs: 60_000 })) {
      expect(error).toBeUndefined();
      expect(message).toBeDefined();
      // All the others come first, and only then it is back.
      if (found.push(key) === keys.length - ofOne.size) unwell.clear();
    }
    expect(new Set(found.slice(keys.length - ofOne.size))).toEqual(ofOne);
    expect(system.asked).toContain(`${one} getMany`);
  });

  it("gets their keys from whoever takes their ranges over, though they stay unwell", async () => {
    unwell.set(one, "silent");
    const found: string[] = [];
    for await (const { key, message, error } of client.getMany("t", keys, { timeoutMs: 60_000 })) {
      expect(error).toBeUndefined();
      expect(message).toBeDefined();
      if (found.push(key) === keys.length - ofOne.size) void system.buffers.get(one)?.close();
    }
    expect(found.sort()).toEqual([...keys].sort());
    expect(new Set(system.asked)).toEqual(new Set([`${two} getMany`]));
  });

  it("still publishes to them: nobody else may take the messages of their ranges", async () => {
    unwell.set(one, "silent");
    const [key = ""] = ofOne;
    expect(await client.publish("t", { key, data: "more" })).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("reports a buffer that can't be reached, and none that somebody just stopped waiting for", async () => {
    system.unreachable.add(one);
    await client.describe("t");
    expect(new Set(reports)).toEqual(new Set([`${one} failed`, `${two} ok`]));
    reports.length = 0;
    await client.describe("t", { signal: AbortSignal.abort(new Error("gone")) }).catch(() => {});
    expect(reports).toEqual([]);
  });
});
