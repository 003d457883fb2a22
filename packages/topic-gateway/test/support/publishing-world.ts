/** Buffers that do what a test says, over a real embedded store in memory and a clock that moves when told to. */
import { openEmbeddedCoord } from "@x/coord/embedded";
import { FakeClock, settled } from "../../../coord/test/support/fake-clock.js";
import { MemoryFileSystem } from "../../../coord/test/support/memory-file-system.js";
import { randomBytesFrom, randomFrom } from "../../../coord/test/support/random.js";
import { Connections } from "../../src/client/connections.js";
import type { ClientContext } from "../../src/client/context.js";
import type { TopicEvent } from "../../src/client/events.js";
import { fanoutOverBuffers } from "../../src/client/places.js";
import {
  type BufferConnection,
  decodeBody,
  type LaneTarget,
  type PublishBatch,
  type PublishReply,
  parseHashRange,
  type RefusalCode,
  rangeLeaseKey,
  rangeSizeKey,
  StateCache,
  TopicError,
  type TopicName,
} from "../../src/protocol.js";
import { type AppendRetry, parseAppendRetry } from "../../src/publish/append-retry.js";
import { Publisher } from "../../src/publish/publisher.js";

export interface Received {
  readonly lane: number;
  readonly batch: number;
  readonly keys: string[];
  readonly texts: string[];
}

/** One publish stream as the buffer sees it. */
export class FakeStream {
  readonly received: Received[] = [];
  readonly targets = new Map<number, LaneTarget>();
  readonly #replies: (PublishReply | Error | undefined)[] = [];
  #wake: (() => void) | undefined;
  #sequence = 1;

  /** Acknowledges everything up to a batch that was not acknowledged before. */
  acknowledge(lane: number, batch: number): void {
    const done = this.#acked.get(lane) ?? 0;
    const count = this.received
      .filter((one) => one.lane === lane && one.batch > done && one.batch <= batch)
      .reduce((sum, one) => sum + one.texts.length, 0);
    this.#acked.set(lane, batch);
    this.#push({
      type: "ack",
      lane,
      batch,
      runs: [{ time: 139_000_000_000_000_000n, sequence: this.#sequence, count }],
    });
    this.#sequence += count;
  }

  refuse(lane: number, code: RefusalCode): void {
    this.#push({ type: "refused", lane, code, message: `refused: ${code}` });
  }

  break(error: Error = new TopicError("unavailable", "the connection broke")): void {
    this.#push(error);
  }

  /** Says whatever it is told to. */
  reply(reply: PublishReply): void {
    this.#push(reply);
  }

  /** The client sends nothing more on this stream. */
  inputEnded = false;

  readonly #acked = new Map<number, number>();

  #push(reply: PublishReply | Error): void {
    this.#replies.push(reply);
    this.#wake?.();
  }

  async *run(batches: AsyncIterable<PublishBatch>, signal?: AbortSignal): AsyncGenerator<PublishReply> {
    void this.#receive(batches);
    signal?.addEventListener("abort", () => this.#wake?.(), { once: true });
    for (;;) {
      signal?.throwIfAborted();
      for (let reply = this.#replies.shift(); reply; reply = this.#replies.shift()) {
        if (reply instanceof Error) throw reply;
        yield reply;
      }
      if (this.inputEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  onBatch: (received: Received) => void = () => {};

  async #receive(batches: AsyncIterable<PublishBatch>): Promise<void> {
    for await (const { lane, open, batch, entries } of batches) {
      if (open) this.targets.set(lane, open);
      const bodies = [];
      for (let at = 0; at < entries.length; at += 4 + entries.readUInt32LE(at)) {
        bodies.push(decodeBody(entries.subarray(at + 4, at + 4 + entries.readUInt32LE(at))));
      }
      const received = {
        lane,
        batch,
        keys: bodies.map(({ key }) => key),
        texts: bodies.map(({ data }) => Buffer.from(data).toString()),
      };
      this.received.push(received);
      this.onBatch(received);
    }
    this.inputEnded = true;
    this.#wake?.();
  }
}

export interface PublishingWorld extends AsyncDisposable {
  readonly clock: FakeClock & { wallMs(): number };
  readonly context: ClientContext;
  readonly publisher: Publisher;
  /** What the client told of its inner life. */
  readonly events: TopicEvent[];
  /** The streams that were opened to an address, oldest first. */
  streams(address: string): FakeStream[];
  newest(address: string): FakeStream;
  onStream: (address: string, stream: FakeStream) => void;
  setFactor(factor: number): Promise<void>;
  /** Gives a range a new owner: undefined for none. */
  own(range: string, address: string | undefined): Promise<void>;
  publish(key: string, text: string, signal?: AbortSignal): Promise<string>;
  settle(): Promise<void>;
}

const TOPIC = "t" as TopicName;

export async function publishingWorld(
  options: { readonly retry?: AppendRetry; readonly seed?: number } = {},
): Promise<PublishingWorld> {
  const clock = Object.assign(new FakeClock(), { wallMs: () => clock.monotonicMs() + 1_700_000_000_000 });
  const random = randomFrom(options.seed ?? 1);
  const coord = await openEmbeddedCoord({
    directory: "coord",
    clock,
    fileSystem: new MemoryFileSystem(),
    randomBytes: randomBytesFrom(random),
  });
  const streams = new Map<string, FakeStream[]>();
  const connect = (address: string): BufferConnection => ({
    publish(batches, callOptions) {
      const stream = new FakeStream();
      streams.set(address, [...(streams.get(address) ?? []), stream]);
      world.onStream(address, stream);
      return stream.run(batches, callOptions?.signal);
    },
    // biome-ignore lint/correctness/useYield: nothing is read in these tests
    async *read() {
      throw new TopicError("unavailable", "not here");
    },
    // biome-ignore lint/correctness/useYield: nothing is read in these tests
    async *getMany() {
      throw new TopicError("unavailable", "not here");
    },
    describe: () => Promise.resolve([]),
    async [Symbol.asyncDispose]() {},
  });
  const put = async (key: string, value: string): Promise<void> => {
    await coord.txn({ then: [{ type: "delete", key }] });
    const { revision } = await coord.txn({ then: [{ type: "put", key, value }] });
    await cache.reach(revision);
  };
  const cache = await StateCache.open(coord, { clock });
  const runtime = { clock, random: { number: random, bytes: randomBytesFrom(random) } };
  const connections = new Connections(connect, cache);
  const fanout = fanoutOverBuffers(runtime);
  const events: TopicEvent[] = [];
  const emit = (event: TopicEvent): void => void events.push(event);
  const context = { coord, cache, connections, fanout, archive: undefined, runtime, emit };
  const publisher = new Publisher(context, parseAppendRetry(options.retry));
  const world: PublishingWorld = {
    clock,
    context,
    publisher,
    events,
    streams: (address) => streams.get(address) ?? [],
    newest(address) {
      const stream = streams.get(address)?.at(-1);
      if (!stream) throw new Error(`no stream to ${address}`);
      return stream;
    },
    onStream: () => {},
    async setFactor(factor) {
      const { revision } = await coord.txn({
        then: [{ type: "put", key: rangeSizeKey(TOPIC), value: String(factor) }],
      });
      await cache.reach(revision);
    },
    async own(range, address) {
      const key = rangeLeaseKey(TOPIC, parseHashRange(range));
      if (address !== undefined) await put(key, address);
      else await cache.reach((await coord.txn({ then: [{ type: "delete", key }] })).revision);
      await settled();
    },
    async publish(key, text, signal) {
      const ids = await publisher.publish(TOPIC, [{ key, data: Buffer.from(text), time: 0 }], signal);
      return ids[0] as string;
    },
    settle: settled,
    async [Symbol.asyncDispose]() {
      await publisher.close(AbortSignal.abort());
      await connections[Symbol.asyncDispose]();
      await cache.close();
      await coord.close();
    },
  };
  await world.setFactor(16);
  return world;
}
