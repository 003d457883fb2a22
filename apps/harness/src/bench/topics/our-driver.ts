import { setTimeout as sleep } from "node:timers/promises";
import type { Coord } from "@x/coord";
import { etcdCoord } from "@x/coord/etcd";
import { openLocalArchive } from "@x/topic-buffer/local";
import { type Consumer, type Message, type PublishMessage, TopicClient } from "@x/topic-gateway/client";
import type { Driver, Reader } from "./driver.js";

/** As many keys as a real topic would have of busy ones. */
const KEYS: readonly string[] = Array.from({ length: 1_000 }, (_, i) => `key-${i}`);
/** Messages that one pull may bring. */
const MOST = 1_000;
/** For what should take a fraction of it: leasing ranges, joining a subscription. */
const SETTLE_MS = 15_000;

export interface OurAddress {
  readonly etcd: string;
  /** The folder of archived segments. */
  readonly archive: string;
  readonly rangeSizeFactor: number;
}

/** The Node client of topics, used as a library: it finds the buffers in etcd and speaks gRPC with them. */
export async function openOurDriver({ etcd, archive, rangeSizeFactor }: OurAddress): Promise<Driver> {
  const coord = etcdCoord({ hosts: etcd });
  const client = await TopicClient.open({ coord, archive: await openLocalArchive({ directory: archive }) });
  return new OurDriver(coord, client, rangeSizeFactor);
}

class OurDriver implements Driver {
  readonly #coord: Coord;
  readonly #client: TopicClient;
  readonly #rangeSizeFactor: number;
  #topic = "";
  #subscriptions = 0;
  #turn = 0;

  constructor(coord: Coord, client: TopicClient, rangeSizeFactor: number) {
    this.#coord = coord;
    this.#client = client;
    this.#rangeSizeFactor = rangeSizeFactor;
  }

  async useTopic(name: string): Promise<void> {
    this.#topic = name;
    await this.#client.topics.add(name, this.#rangeSizeFactor);
    await settled("the leases of all ranges", () =>
      this.#client.topics.get(name).ranges.every(({ buffer }) => buffer !== undefined),
    );
  }

  publish(data: Buffer): Promise<unknown> {
    return this.#client.publish(this.#topic, this.#message(data));
  }

  publishBatch(batch: readonly Buffer[]): Promise<unknown> {
    return this.#client.publishMany(
      this.#topic,
      batch.map((data) => this.#message(data)),
    );
  }

  async openReader(): Promise<Reader> {
    const consumer = await this.#join("earliest");
    return {
      read: async (deliver) => {
        for (;;) {
          const messages = await consumer.pull({ maxMessages: MOST, waitMs: SETTLE_MS });
          if (messages.length === 0) throw new Error("nothing came, though there are messages");
          // Taking the data out of the frame is part of reading it.
          for (const { data } of messages) if (data.length === 0) throw new Error("a message has no data");
          const goesOn = deliver(messages.length);
          const committed = acknowledge(messages);
          if (goesOn) continue;
          await Promise.all(committed);
          await settled("the commits", () =>
            consumer.segments().every((segment) => segment.committed >= segment.delivered),
          );
          return;
        }
      },
      [Symbol.asyncDispose]: () => consumer.close(),
    };
  }

  async openLive(onMessage: (data: Uint8Array) => void): Promise<AsyncDisposable> {
    const consumer = await this.#join("latest");
    const ranges = this.#client.topics.get(this.#topic).ranges.length;
    await settled("all segments", () => consumer.segments().length >= ranges);
    let closing = false;
    const loop = (async (): Promise<void> => {
      while (!closing) {
        const messages = await consumer.pull({ maxMessages: MOST, waitMs: 60_000 });
        for (const { data } of messages) onMessage(data);
        acknowledge(messages);
      }
    })();
    loop.catch(() => {}); // a consumer that ended delivers nothing, which is what is measured
    return {
      async [Symbol.asyncDispose]() {
        closing = true;
        await consumer.close();
        await loop.catch(() => {});
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
    await this.#coord[Symbol.asyncDispose]();
  }

  #message(data: Buffer): PublishMessage {
    this.#turn = (this.#turn + 1) % KEYS.length;
    return { key: KEYS[this.#turn] as string, data };
  }

  async #join(mode: "earliest" | "latest"): Promise<Consumer> {
    const subscription = `s${++this.#subscriptions}`;
    await this.#client.createSubscription(this.#topic, subscription, { mode });
    return await this.#client.subscribe(this.#topic, subscription, { consumer: "bench" });
  }
}

/** One acknowledgement for each segment in a batch: it covers what came before. A consumer that lost a segment gets it again. */
function acknowledge(messages: readonly Message[]): Promise<unknown>[] {
  const last = new Map<string, Message>();
  for (const message of messages) last.set(message.segment, message);
  return [...last.values()].map((message) => message.acknowledge());
}

async function settled(what: string, isSo: () => boolean): Promise<void> {
  const untilMs = performance.now() + SETTLE_MS;
  while (!isSo()) {
    if (performance.now() > untilMs) throw new Error(`waited ${SETTLE_MS} ms for ${what}`);
    await sleep(2);
  }
}
