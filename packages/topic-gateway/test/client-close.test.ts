import type { Coord } from "@x/coord";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock, settled } from "../../coord/test/support/fake-clock.js";
import { MemoryFileSystem } from "../../coord/test/support/memory-file-system.js";
import { randomBytesFrom, randomFrom } from "../../coord/test/support/random.js";
import { TopicClient } from "../src/client.js";
import { type BufferConnection, type Runtime, rangeLeaseKey, type TopicName } from "../src/protocol.js";
import { outcome } from "./support/outcome.js";
import { FakeStream } from "./support/publishing-world.js";

let coord: Coord & { close(): Promise<void> };
let runtime: Runtime & { readonly clock: FakeClock };
let stream: FakeStream;
let disposed: boolean;

beforeEach(async () => {
  const clock = Object.assign(new FakeClock(), { wallMs: () => clock.monotonicMs() });
  const number = randomFrom(1);
  runtime = { clock, random: { number, bytes: randomBytesFrom(number) } };
  coord = await openEmbeddedCoord({
    directory: "coord",
    clock,
    fileSystem: new MemoryFileSystem(),
    randomBytes: randomBytesFrom(number),
  });
  stream = new FakeStream();
  disposed = false;
});
afterEach(() => coord.close());

const connection: Partial<BufferConnection> = {
  publish: (batches, { signal } = {}) => stream.run(batches, signal),
  async [Symbol.asyncDispose]() {
    disposed = true;
  },
};

async function openClient(store: Coord = coord): Promise<TopicClient> {
  const client = await TopicClient.open({
    coord: store,
    runtime,
    connect: () => connection as BufferConnection,
  });
  await client.topics.add("t", 16);
  const key = rangeLeaseKey("t" as TopicName, { from: 0, to: 65536 });
  await coord.txn({ then: [{ type: "put", key, value: "a:1" }] });
  await settled();
  return client;
}

/** A store that answers nothing any more from a certain moment on, but ends what its caller gives up. */
function hangingStore(): { readonly store: Coord; hang(): void } {
  let hangs = false;
  const store = new Proxy(coord, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (!hangs || name === "watch") return value.apply(target, args);
        const { signal } = (args.at(-1) ?? {}) as { readonly signal?: AbortSignal };
        return new Promise((_, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        });
      };
    },
  });
  return {
    store,
    hang() {
      hangs = true;
    },
  };
}

describe("closing a client", () => {
  it("is done once: a second call waits for the end of the first, and lets go of nothing before it", async () => {
    const client = await openClient();
    const id = outcome(client.publish("t", { key: "k", data: "a" }));
    await settled();
    const first = outcome(client.close());
    const second = outcome(client.close());
    const third = outcome(client[Symbol.asyncDispose]());
    await settled();
    expect([id.is, first.is, second.is, third.is]).toEqual([undefined, undefined, undefined, undefined]);
    expect(disposed).toBe(false);
    expect(client.failure).toBeUndefined();
    stream.acknowledge(1, 1);
    await settled();
    expect([id.is, first.is, second.is, third.is]).toEqual(["resolved", "resolved", "resolved", "resolved"]);
    expect(disposed).toBe(true);
  });

  it.each(["the first call", "a later call"])("is hurried by the signal of %s", async (which) => {
    const client = await openClient();
    const id = outcome(client.publish("t", { key: "k", data: "a" }));
    await settled();
    const controller = new AbortController();
    const { signal } = controller;
    const first = outcome(client.close(which === "the first call" ? { signal } : {}));
    const second = outcome(client.close(which === "the first call" ? {} : { signal }));
    await settled();
    expect([id.is, first.is, second.is]).toEqual([undefined, undefined, undefined]);
    controller.abort();
    await settled();
    expect([id.is, first.is, second.is]).toEqual(["closed", "resolved", "resolved"]);
    expect(disposed).toBe(true);
  });

  it("waits for no consumer any longer when the signal aborts", async () => {
    const { store, hang } = hangingStore();
    const client = await openClient(store);
    await client.createSubscription("t", "s");
    await client.subscribe("t", "s", { consumer: "c", sessionTtlMs: 60_000 });
    await settled();
    hang();
    const controller = new AbortController();
    const closing = outcome(client.close({ signal: controller.signal }));
    await settled();
    expect(closing.is).toBeUndefined();
    controller.abort();
    await settled();
    expect(closing.is).toBe("resolved");
  });

  it("waits for no stream and no connection any longer when the signal aborts", async () => {
    const never = new Promise<never>(() => {});
    const client = await TopicClient.open({
      coord,
      runtime,
      connect: () =>
        ({
          // biome-ignore lint/correctness/useYield: it never comes to that
          async *publish() {
            await never;
          },
          [Symbol.asyncDispose]: () => never,
        }) as Partial<BufferConnection> as BufferConnection,
    });
    await client.topics.add("t", 16);
    const key = rangeLeaseKey("t" as TopicName, { from: 0, to: 65536 });
    await coord.txn({ then: [{ type: "put", key, value: "a:1" }] });
    const id = outcome(client.publish("t", { key: "k", data: "a" }));
    await settled();
    const closing = outcome(client.close({ signal: AbortSignal.abort() }));
    await settled();
    expect([id.is, closing.is]).toEqual(["closed", "resolved"]);
  });

  it("leaves no listener with the caller's signal", async () => {
    const client = await openClient();
    const { signal } = new AbortController();
    let listeners = 0;
    const counted = new Proxy(signal, {
      get(target, name) {
        if (name === "addEventListener") listeners += 1;
        if (name === "removeEventListener") listeners -= 1;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const id = client.publish("t", { key: "k", data: "a" });
    await settled();
    const closing = client.close({ signal: counted });
    expect(listeners).toBe(1);
    stream.acknowledge(1, 1);
    await id;
    await closing;
    expect(listeners).toBe(0);
  });
});
