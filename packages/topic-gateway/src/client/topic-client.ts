import type { Coord } from "@x/coord";
import { TopicError } from "../errors.js";
import { grpcBuffers } from "../grpc/connect-buffer.js";
import type { ConnectBuffer } from "../protocol/buffer-api.js";
import type { BufferHealth } from "../protocol/buffer-health.js";
import { decodeBody, type Headers, type MessageBody } from "../protocol/message.js";
import { formatMessageId, ticksOfMs } from "../protocol/message-id.js";
import { parseTopicName } from "../protocol/names.js";
import type { SubscriptionMode } from "../protocol/records.js";
import type { Clock, Runtime } from "../protocol/runtime.js";
import type { SegmentArchive } from "../protocol/segment-archive.js";
import { type AppendRetry, parseAppendRetry } from "../publish/append-retry.js";
import { bodiesOf, bodyOf, type PublishMessage } from "../publish/publish-message.js";
import { Publisher } from "../publish/publisher.js";
import { type Consumer, type ConsumerOptions, openConsumer } from "../subscribe/consumer.js";
import { createSubscription } from "../subscribe/create-subscription.js";
import { type TailMessage, type TailOptions, tailTopic } from "../subscribe/tail.js";
import { systemRuntime } from "../system.js";
import { StateCache } from "../topics/cache.js";
import { TopicService } from "../topics/topic-service.js";
import { Closing, orHurried } from "./closing.js";
import { Connections } from "./connections.js";
import type { ClientContext } from "./context.js";
import { describeTopic, type TopicStats } from "./describe.js";
import type { TopicEvent } from "./events.js";
import { getMany } from "./get-many.js";
import type { Found } from "./key-search.js";
import { Life } from "./life.js";
import { fanoutOverBuffers } from "./places.js";

export interface TopicClientOptions {
  /** Where the topics are recorded. It stays the caller's: closing the client does not close it. */
  readonly coord: Coord;
  /** How buffers are reached. Default: gRPC without encryption, `grpcBuffers()`. */
  readonly connect?: ConnectBuffer;
  /** Who knows which buffers do not answer: they are not asked, but named at once. Default: nobody, so that each is asked and waited for. */
  readonly health?: BufferHealth;
  /** Where old segments are read that no buffer serves any more. Without one, a subscription stops in front of them. */
  readonly archive?: SegmentArchive;
  readonly appendRetry?: AppendRetry;
  /** Default: the process's clock and random numbers. */
  readonly runtime?: Runtime;
  /** Told of what happens inside, for logs and metrics. Must not throw. */
  readonly onEvent?: (event: TopicEvent) => void;
}

export type { PublishMessage } from "../publish/publish-message.js";

/** The newest message of a key. */
export interface StoredMessage {
  readonly id: string;
  readonly key: string;
  readonly data: Uint8Array;
  readonly headers: Headers;
  /** Milliseconds since 1970, by the publisher's clock. */
  readonly timeMs: number;
}

export interface GetOptions {
  /** Only messages published (by their ids) at this time or later, in milliseconds since 1970. Default: any. */
  readonly fromTimeMs?: number;
  /** Default 6,000: as long as a silent buffer keeps its ranges, and a second more. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** What became of one key of `getMany`. */
export type KeyedMessage =
  | { readonly key: string; readonly message: StoredMessage | undefined; readonly error?: undefined }
  | { readonly key: string; readonly message?: undefined; readonly error: TopicError };

const DEFAULT_GET_TIMEOUT_MS = 6_000;

/**
 * A client of topics. It watches the records, routes each message to the buffer that leases its key's range, and reads segments
 * from whoever serves them: gateways are made of it, and a program may use it without one.
 */
export class TopicClient implements AsyncDisposable {
  readonly topics: TopicService;
  readonly #context: ClientContext;
  readonly #publisher: Publisher;
  readonly #consumers = new Set<Consumer>();
  readonly #closing = new Closing();
  readonly #life = new Life("the client");

  private constructor(context: ClientContext, retry: Required<AppendRetry>) {
    this.#context = context;
    this.topics = new TopicService(context.coord, context.cache, { life: this.#life });
    this.#publisher = new Publisher(context, retry);
  }

  /** The clock that everything of this client runs on. */
  get clock(): Clock {
    return this.#context.runtime.clock;
  }

  /** Resolves when the topics are known. @throws CoordError, TopicError "invalid-argument" */
  static async open(options: TopicClientOptions & { readonly signal?: AbortSignal }): Promise<TopicClient> {
    const { coord, connect = grpcBuffers(), runtime = systemRuntime, onEvent = () => {}, signal } = options;
    const { archive, health } = options;
    const retry = parseAppendRetry(options.appendRetry);
    const cache = await StateCache.open(coord, { clock: runtime.clock, ...(signal && { signal }) });
    const connections = new Connections(connect, cache, { health });
    const fanout = fanoutOverBuffers(runtime);
    return new TopicClient({ coord, cache, connections, fanout, archive, runtime, emit: onEvent }, retry);
  }

  /**
   * Resolves with the message's id when it is durable. Messages published without waiting travel together, and those of one
   * key keep their order; behind one that fails, or is taken back by its signal, the later ones of its key that are still on their
   * way fail too ("unavailable", with the reason as the cause).
   *
   * @throws TopicError "invalid-key", "message-too-large", "invalid-argument", "topic-not-found"; "unavailable" when nobody
   * acknowledged it in time: it may or may not be in the topic then
   */
  publish(
    topic: string,
    message: PublishMessage,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<string> {
    return this.#publish(topic, () => [bodyOf(message, this.clock)], options).then(firstOf);
  }

  /** The ids in the order of the messages, when all are durable. Otherwise as `publish`, and any of them may be in the topic. */
  publishMany(
    topic: string,
    messages: readonly PublishMessage[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<string[]> {
    return this.#publish(topic, () => bodiesOf(messages, this.clock), options);
  }

  /** No `async` function, which would keep what the caller gave until it is answered, beside what is sent. */
  #publish(
    topic: string,
    bodies: () => readonly MessageBody[],
    options: { readonly signal?: AbortSignal },
  ): Promise<string[]> {
    try {
      return this.#publisher.publish(parseTopicName(topic), bodies(), options.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The newest message of a key, published (by its id) at `fromTimeMs` or later, or undefined.
   * @throws TopicError "invalid-key", "topic-not-found"; "unavailable" when nobody who may have it answered in time
   */
  async get(topic: string, key: string, options: GetOptions = {}): Promise<StoredMessage | undefined> {
    for await (const { message, error } of this.getMany(topic, [key], options)) {
      if (error) throw error;
      return message;
    }
    return undefined;
  }

  /**
   * The newest messages of many keys (10,000 at most), asked of all the buffers that have them at once. Yields one answer for each
   * different key as it comes, in no particular order: `message` is undefined for a key that has none, and `error` says why it is
   * not known. A buffer that does not answer delays its own keys alone: they are answered when its ranges were taken over, or
   * named with "unavailable" after `timeoutMs`.
   * @throws TopicError "invalid-key", "invalid-argument", "topic-not-found"
   */
  async *getMany(
    topic: string,
    keys: readonly string[],
    options: GetOptions = {},
  ): AsyncGenerator<KeyedMessage, void, undefined> {
    const { fromTimeMs, timeoutMs = DEFAULT_GET_TIMEOUT_MS, signal } = options;
    if (typeof timeoutMs !== "number" || !(timeoutMs > 0)) {
      throw new TopicError(
        "invalid-argument",
        `timeoutMs must be a positive number, not ${String(timeoutMs)}`,
      );
    }
    const answers = this.#life.iterate(signal, (signal) =>
      getMany(this.#context, parseTopicName(topic), keys, {
        fromTime: fromTimeMs === undefined ? 0n : ticksOfMs(fromTimeMs),
        timeoutMs,
        signal,
      }),
    );
    for await (const { key, found, error } of answers) {
      yield error ? { key, error } : { key, message: found && toStoredMessage(key, found) };
    }
  }

  /**
   * Counts the topic's messages, segment by segment. A buffer that does not answer within `timeoutMs` (default 1,000) is named, and
   * so is one that is known not to, at once.
   * @throws TopicError "topic-not-found"
   */
  async describe(
    topic: string,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<TopicStats> {
    return await this.#life.run(options.signal, (signal) =>
      describeTopic(this.#context, parseTopicName(topic), { timeoutMs: 1_000, ...options, signal }),
    );
  }

  /** The buffers that are there, by id. */
  listBuffers(): { readonly id: string; readonly address: string }[] {
    const buffers = [...this.#context.cache.state.buffers.values()];
    return buffers.map(({ id, address }) => ({ id, address })).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** What ended the watch of the records, after which this client is of no more use; undefined while all is well. */
  get failure(): unknown {
    return this.#context.cache.failure;
  }

  /** How many consumers of this client are open. */
  get consumers(): number {
    return this.#consumers.size;
  }

  /** Resolves with `failure` when the watch of the records ends, also by `close`. */
  get ended(): Promise<unknown> {
    return this.#context.cache.ended;
  }

  /**
   * Creates a subscription that starts at the first message still stored ("earliest", the default) or behind the newest ("latest").
   * @throws TopicError "invalid-subscription-name", "topic-not-found", "subscription-exists", "unavailable"
   */
  async createSubscription(
    topic: string,
    name: string,
    options: { readonly mode?: SubscriptionMode; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.#life.run(options.signal, async (signal) => {
      await createSubscription(this.#context, topic, name, { ...options, signal });
      const isKnown = (): true | undefined => this.listSubscriptions(topic).includes(name) || undefined;
      await this.#context.cache.until(isKnown, { signal });
    });
  }

  /** The names, sorted. @throws TopicError "invalid-topic-name", "topic-not-found" */
  listSubscriptions(topic: string): string[] {
    const name = parseTopicName(topic);
    const found = this.#context.cache.state.topic(name);
    if (!found) throw new TopicError("topic-not-found", `there is no topic "${name}"`);
    return [...found.subscriptions.values()]
      .filter(({ record }) => record)
      .map(({ name }) => name as string)
      .sort();
  }

  /**
   * Joins a subscription as one of its consumers: its segments are shared among them, each read by one at a time.
   * @throws TopicError "topic-not-found", "subscription-not-found", "invalid-consumer-name"
   */
  async subscribe(
    topic: string,
    subscription: string,
    options: ConsumerOptions & { readonly signal?: AbortSignal },
  ): Promise<Consumer> {
    return await this.#life.run(options.signal, (signal) =>
      openConsumer(this.#context, topic, subscription, { ...options, signal, among: this.#consumers }),
    );
  }

  /**
   * The messages of a topic as they become durable, to this reader alone, with nothing recorded. Leaving the loop ends it.
   * @throws TopicError "topic-not-found", "unavailable"
   */
  tail(topic: string, options: TailOptions = {}): AsyncIterable<TailMessage> {
    return this.#life.iterate(options.signal, (signal) =>
      tailTopic(this.#context, topic, { ...options, signal }),
    );
  }

  /**
   * From now on everything that takes time fails with "closed", and at once so does what is under way, done or not, but for what was
   * published. Waits until that is answered, gives back what the consumers hold, and lets go of all connections. It is closed once: a
   * second call waits for the end of the first. When the signal of any call aborts, nothing is waited for any longer: what is
   * unanswered by then fails with "closed", and a consumer's segments are others' when its session ends, at the latest.
   */
  close(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#closing.run(async (hurry) => {
      const ended = this.#life.end();
      await this.#publisher.close(hurry);
      const consumers = [...this.#consumers].map((consumer) => consumer.close());
      await orHurried(Promise.allSettled(consumers), hurry);
      await orHurried(this.#context.connections[Symbol.asyncDispose](), hurry);
      await orHurried(ended, hurry);
      await orHurried(this.#context.cache.close(), hurry);
    }, options.signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function firstOf(ids: readonly string[]): string {
  return ids[0] as string; // of one message
}

function toStoredMessage(key: string, { segment, frame }: Found): StoredMessage {
  const { data, headers = {}, time: micros } = decodeBody(frame.body);
  const id = formatMessageId({ time: frame.time, sequence: frame.sequence, rangeFrom: segment.range.from });
  return { id, key, data, headers, timeMs: micros / 1000 };
}
