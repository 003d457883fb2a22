/** Takes what is published, and has it sent by the senders of its topic. */
import { murmur3Mod } from "@x/space";
import { orHurried } from "../client/closing.js";
import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import type { LaneSender } from "../protocol/buffer-api.js";
import { HASHES } from "../protocol/hash-range.js";
import { encodeBody, type MessageBody } from "../protocol/message.js";
import type { TopicName } from "../protocol/names.js";
import type { AppendRetry } from "./append-retry.js";
import { BufferStreams } from "./buffer-streams.js";
import { PublishCall } from "./outgoing.js";
import { TopicSenders } from "./topic-senders.js";

export type { AppendRetry } from "./append-retry.js";

/** The hash that routes a key. The modulus is the seed's, which leaves 65535 unused. */
export function hashOfKey(key: string): number {
  return murmur3Mod(key, HASHES - 1);
}

export class Publisher {
  readonly #context: ClientContext;
  readonly #maxAttempts: number;
  readonly #deadlineMs: number;
  readonly #streams: BufferStreams;
  readonly #topics = new Map<TopicName, TopicSenders>();
  readonly #unlisten: () => void;
  readonly #senderId: string;
  #lanes = 0;
  #order = 0;
  #unanswered = 0;
  #onAnswered: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  /** @param retry of `parseAppendRetry` */
  constructor(context: ClientContext, retry: Required<AppendRetry>) {
    this.#context = context;
    this.#senderId = Buffer.from(context.runtime.random.bytes(16)).toString("hex");
    this.#maxAttempts = retry.maxAttempts;
    this.#deadlineMs = retry.deadlineMs;
    this.#streams = new BufferStreams((address) => context.connections.to(address));
    this.#unlisten = context.cache.listen(() => {
      for (const topic of this.#topics.values()) topic.onStateChange();
    });
  }

  /**
   * Resolves with the ids, in the order of the messages, when all of them are durable.
   * Rejects as a whole, and then any of them may be durable or not.
   */
  publish(topic: TopicName, bodies: readonly MessageBody[], signal?: AbortSignal): Promise<string[]> {
    if (this.#closing) return Promise.reject(new TopicError("closed", "the client was closed"));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (bodies.length === 0) return Promise.resolve([]);
    try {
      const senders = this.#sendersOf(topic);
      // Everything is checked before anything is sent.
      const encoded = bodies.map((body) => encodeBody(body));
      const { call, ids } = this.#begin(bodies.length, senders, signal);
      for (let index = 0; index < bodies.length; index++) {
        const key = (bodies[index] as MessageBody).key;
        const body = encoded[index] as Buffer;
        this.#order += 1;
        senders.enqueue({ call, index, key, hash: hashOfKey(key), body, order: this.#order, attempts: 0 });
      }
      return ids;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** By itself, so that its functions, which live until the answer, keep nothing of what the caller gave beside what is sent. */
  #begin(
    count: number,
    senders: TopicSenders,
    signal: AbortSignal | undefined,
  ): { readonly call: PublishCall; readonly ids: Promise<string[]> } {
    let begun: PublishCall | undefined;
    const ids = new Promise<string[]>((resolve, reject) => {
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
      const call = new PublishCall(count, deadlineMs, senders, settle(resolve), settle(reject));
      signal?.addEventListener("abort", onAbort, { once: true });
      begun = call;
    });
    return { call: begun as PublishCall, ids }; // a promise runs its function at once
  }

  /** Resolves when no call is unanswered. Every call ends by its deadline, so this does. */
  #answered(): Promise<void> {
    if (this.#unanswered === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onAnswered = resolve;
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
      senders = new TopicSenders(name, this.#context, this.#streams, options);
      this.#topics.set(name, senders);
    }
    return senders;
  }

  /**
   * Takes no more, waits until everything is answered, fails what is left. It is closed once: later calls wait for the first. When
   * that one's signal aborts, it waits no longer.
   */
  close(signal?: AbortSignal): Promise<void> {
    this.#closing ??= this.#close(signal);
    return this.#closing;
  }

  async #close(signal: AbortSignal | undefined): Promise<void> {
    await orHurried(this.#answered(), signal);
    this.#unlisten();
    const reason = new TopicError("closed", "the client was closed before the message was acknowledged");
    for (const topic of this.#topics.values()) topic.failAll(reason);
    await orHurried(this.#streams.close(), signal);
  }
}
