/** Routes messages to the senders of their hash ranges, and carries order over from one layout of a topic to the next. */
import { evenPartitions, hash16, murmur3Mod, type PartitionedRange } from "@x/space";
import type { ClientContext } from "../client/context.js";
import type { TopicEvent } from "../client/events.js";
import { TopicError } from "../errors.js";
import type { LaneSender } from "../protocol/buffer-api.js";
import { formatHashRange, HASHES } from "../protocol/hash-range.js";
import { encodeBody, type MessageBody } from "../protocol/message.js";
import type { TopicName } from "../protocol/names.js";
import type { Clock, Random } from "../protocol/runtime.js";
import { BufferStream } from "./buffer-stream.js";
import { type Outgoing, PublishCall } from "./outgoing.js";
import { RangeSender } from "./range-sender.js";

export interface AppendRetry {
  /** How often a message is sent at most. Default 100. */
  readonly maxAttempts?: number;
  /** How long a message may take in all, also while its range has no owner. Default 30,000. */
  readonly deadlineMs?: number;
}

export interface SenderOptions {
  /** Who a new lane comes from: of all senders of the client together, since a range may get another one. */
  readonly nextLane: () => LaneSender;
  readonly clock: Clock;
  readonly random: Random;
  readonly maxAttempts: number;
  readonly emit: (event: TopicEvent) => void;
  /** A retired sender has nothing on its way any more. */
  readonly onQuiet: () => void;
}

export interface BufferStreams {
  to(address: string): BufferStream;
}

/** The hash that routes a key. The modulus is the seed's, which leaves 65535 unused. */
export function hashOfKey(key: string): number {
  return murmur3Mod(key, HASHES - 1);
}

export class Publisher {
  readonly #context: ClientContext;
  readonly #maxAttempts: number;
  readonly #deadlineMs: number;
  readonly #streams = new Map<string, BufferStream>();
  readonly #topics = new Map<TopicName, TopicSenders>();
  readonly #unlisten: () => void;
  readonly #senderId: string;
  #lanes = 0;
  #order = 0;
  #unanswered = 0;
  #onAnswered: (() => void) | undefined;
  #closed = false;

  constructor(context: ClientContext, retry: AppendRetry = {}) {
    this.#context = context;
    this.#senderId = Buffer.from(context.runtime.random.bytes(16)).toString("hex");
    this.#maxAttempts = retry.maxAttempts ?? 100;
    this.#deadlineMs = retry.deadlineMs ?? 30_000;
    this.#unlisten = context.cache.listen(() => {
      for (const topic of this.#topics.values()) topic.onStateChange();
    });
  }

  /**
   * Resolves with the ids, in the order of the messages, when all of them are durable.
   * Rejects as a whole, and then any of them may be durable or not.
   */
  publish(topic: TopicName, bodies: readonly MessageBody[], signal?: AbortSignal): Promise<string[]> {
    if (this.#closed) return Promise.reject(new TopicError("closed", "the client was closed"));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (bodies.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const senders = this.#sendersOf(topic);
      // Everything is checked before anything is sent.
      const encoded = bodies.map((body) => encodeBody(body));
      const onAbort = (): void => call.fail(signal?.reason);
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T): void => {
          signal?.removeEventListener("abort", onAbort);
          this.#unanswered -= 1;
          if (this.#unanswered === 0) this.#onAnswered?.();
          then(value);
        };
      const deadlineMs = this.#context.runtime.clock.monotonicMs() + this.#deadlineMs;
      this.#unanswered += 1;
      const call = new PublishCall(bodies.length, deadlineMs, settle(resolve), settle(reject));
      signal?.addEventListener("abort", onAbort, { once: true });
      for (let index = 0; index < bodies.length; index++) {
        const key = (bodies[index] as MessageBody).key;
        const body = encoded[index] as Buffer;
        this.#order += 1;
        senders.enqueue({ call, index, key, hash: hashOfKey(key), body, order: this.#order, attempts: 0 });
      }
    });
  }

  /** Resolves when no call is unanswered. Every call ends by its deadline, so this does. */
  #answered(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      if (this.#unanswered === 0 || signal?.aborted) {
        resolve();
        return;
      }
      this.#onAnswered = resolve;
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  #sendersOf(name: TopicName): TopicSenders {
    const { cache, runtime, emit } = this.#context;
    if (!cache.state.topic(name)) throw new TopicError("topic-not-found", `there is no topic "${name}"`);
    let senders = this.#topics.get(name);
    if (!senders) {
      const nextLane = (): LaneSender => {
        this.#lanes += 1;
        return { id: this.#senderId, attempt: this.#lanes };
      };
      const options = { ...runtime, maxAttempts: this.#maxAttempts, emit, nextLane };
      senders = new TopicSenders(name, this.#context, { to: (address) => this.#stream(address) }, options);
      this.#topics.set(name, senders);
    }
    return senders;
  }

  #stream(address: string): BufferStream {
    let stream = this.#streams.get(address);
    if (!stream || stream.failure) {
      const opened = new BufferStream(this.#context.connections.to(address), () => {
        if (this.#streams.get(address) === opened) this.#streams.delete(address);
      });
      stream = opened;
      this.#streams.set(address, stream);
    }
    return stream;
  }

  /** Takes no more, waits until everything is answered (or the signal aborts), fails what is left. */
  async close(signal?: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#answered(signal);
    this.#unlisten();
    const reason = new TopicError("closed", "the client was closed before the message was acknowledged");
    for (const topic of this.#topics.values()) topic.failAll(reason);
    await Promise.allSettled([...this.#streams.values()].map((stream) => stream.close()));
  }
}

/** The senders of one topic: one for each range of its present layout, and those of earlier ones until they are quiet. */
class TopicSenders {
  readonly #name: TopicName;
  readonly #context: ClientContext;
  readonly #streams: BufferStreams;
  readonly #options: SenderOptions;
  #layout = -1n;
  #partitions: PartitionedRange<number> = evenPartitions(hash16, 1);
  #senders: (RangeSender | undefined)[] = [];
  #retired: RangeSender[] = [];
  /** While earlier senders are not quiet, everything new waits: it must not overtake what they have on its way. */
  #held: Outgoing[] = [];

  constructor(
    name: TopicName,
    context: ClientContext,
    streams: BufferStreams,
    options: Omit<SenderOptions, "onQuiet">,
  ) {
    this.#name = name;
    this.#context = context;
    this.#streams = streams;
    this.#options = { ...options, onQuiet: () => this.#resume() };
    this.#adopt();
  }

  enqueue(message: Outgoing): void {
    if (this.#retired.length > 0) this.#held.push(message);
    else this.#senderOf(message.hash).enqueue(message);
  }

  onStateChange(): void {
    const config = this.#context.cache.state.topic(this.#name)?.config;
    if (!config) {
      const gone = new TopicError("topic-not-found", `the topic "${this.#name}" is gone`);
      this.failAll(gone);
      return;
    }
    if (config.layout !== this.#layout) this.#adopt();
    for (const sender of this.#senders) sender?.onStateChange();
  }

  failAll(reason: unknown): void {
    for (const sender of [...this.#senders, ...this.#retired]) sender?.failAll(reason);
    for (const message of this.#held) message.call.fail(reason);
    this.#held = [];
    this.#retired = [];
  }

  #adopt(): void {
    const config = this.#context.cache.state.topic(this.#name)?.config;
    if (!config) return;
    for (const sender of this.#senders) {
      if (!sender || sender.idle) continue;
      sender.retire();
      this.#retired.push(sender);
    }
    this.#layout = config.layout;
    const count = HASHES / 2 ** config.factor;
    this.#partitions = evenPartitions(hash16, count);
    this.#senders = new Array(count).fill(undefined);
    this.#resume();
  }

  #resume(): void {
    if (this.#retired.some((sender) => !sender.quiet)) return;
    const waiting = [...this.#retired.flatMap((sender) => sender.takeUnanswered()), ...this.#held];
    this.#retired = [];
    this.#held = [];
    waiting.sort((a, b) => a.order - b.order);
    for (const message of waiting) this.#senderOf(message.hash).enqueue(message);
  }

  #senderOf(hash: number): RangeSender {
    const index = this.#partitions.find(hash);
    let sender = this.#senders[index];
    if (!sender) {
      const size = HASHES / this.#partitions.length;
      const range = { from: index * size, to: (index + 1) * size };
      const name = formatHashRange(range);
      const owner = () => this.#context.cache.state.topics.get(this.#name)?.leases.get(name);
      sender = new RangeSender(this.#name, range, owner, this.#streams, this.#options);
      this.#senders[index] = sender;
    }
    return sender;
  }
}
