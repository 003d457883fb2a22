/**
 * Consumers over HTTP. A pull opens a session of the named consumer, which holds its segments; each pull and commit keeps it; after a
 * while of silence it ends, and others get its segments.
 */

import { type Consumer, type ConsumerOptions, TopicError, type TopicErrorCode } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";

/** What is needed of a TopicClient. */
export interface Subscriber {
  subscribe(topic: string, subscription: string, options: ConsumerOptions): Promise<Consumer>;
}

/** Which consumer: two requests with the same three names share a session. */
export interface ConsumerPath {
  readonly topic: string;
  readonly subscription: string;
  readonly consumer: string;
}

export interface HttpSessionsOptions {
  readonly clock: Clock;
  /** A session that nobody used for so long ends. */
  readonly silenceMs: number;
  /** Default: 10,000. */
  readonly maxSessions?: number;
}

interface Session {
  readonly consumer: Promise<Consumer>;
  /** Requests that are using it now. */
  users: number;
  cancelExpiry: () => void;
}

/** A consumer that failed with one of these does not recover. */
const FINAL: ReadonlySet<TopicErrorCode> = new Set(["closed", "topic-not-found", "subscription-not-found"]);

export class HttpSessions implements AsyncDisposable {
  readonly #subscriber: Subscriber;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #maxSessions: number;
  readonly #sessions = new Map<string, Session>();
  readonly #closing = new Set<Promise<void>>();

  constructor(subscriber: Subscriber, { clock, silenceMs, maxSessions = 10_000 }: HttpSessionsOptions) {
    this.#subscriber = subscriber;
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#maxSessions = maxSessions;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Runs with the consumer's session, opening it if need be. @throws TopicError "overloaded", and what `work` throws */
  async use<T>(path: ConsumerPath, work: (consumer: Consumer) => Promise<T>): Promise<T> {
    const id = idOf(path);
    let session = this.#sessions.get(id);
    if (!session) {
      if (this.#sessions.size >= this.#maxSessions) {
        throw new TopicError(
          "overloaded",
          `there are ${this.#maxSessions} sessions of consumers already: end some, or wait until silent ones have ended`,
        );
      }
      const { topic, subscription, consumer: name } = path;
      const consumer = this.#subscriber.subscribe(topic, subscription, { consumer: name });
      session = { consumer, users: 0, cancelExpiry: () => {} };
      this.#sessions.set(id, session);
      const opened = session;
      consumer.catch(() => this.#forget(id, opened));
    }
    return await this.#during(id, session, work);
  }

  /** Runs with the consumer's session. @throws TopicError "lease-lost" when there is none, and what `work` throws */
  async useExisting<T>(path: ConsumerPath, work: (consumer: Consumer) => Promise<T>): Promise<T> {
    const id = idOf(path);
    const session = this.#sessions.get(id);
    if (!session) {
      throw new TopicError(
        "lease-lost",
        `the consumer ${JSON.stringify(path.consumer).slice(0, 140)} has no session here: it begins with a pull and ends after ` +
          `${this.#silenceMs / 1000} s of silence; what was not committed is delivered again, so pull again`,
      );
    }
    return await this.#during(id, session, work);
  }

  /**
   * Ends the consumer's session: what was delivered and not committed is delivered again, to whoever pulls next. False when there
   * was none.
   */
  async end(path: ConsumerPath): Promise<boolean> {
    const id = idOf(path);
    const session = this.#sessions.get(id);
    if (!session) return false;
    await this.#end(id, session);
    return true;
  }

  async #during<T>(id: string, session: Session, work: (consumer: Consumer) => Promise<T>): Promise<T> {
    session.users += 1;
    session.cancelExpiry();
    try {
      return await work(await session.consumer);
    } catch (error) {
      // The next pull begins anew instead of meeting the same dead consumer.
      if (error instanceof TopicError && FINAL.has(error.code)) void this.#end(id, session);
      throw error;
    } finally {
      session.users -= 1;
      if (session.users === 0 && this.#sessions.get(id) === session) {
        session.cancelExpiry = this.#clock.setTimer(this.#silenceMs, () => void this.#end(id, session));
      }
    }
  }

  #forget(id: string, session: Session): void {
    session.cancelExpiry();
    if (this.#sessions.get(id) === session) this.#sessions.delete(id);
  }

  #end(id: string, session: Session): Promise<void> {
    this.#forget(id, session);
    const closing = session.consumer
      .then((consumer) => consumer.close())
      .catch(() => {})
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return closing;
  }

  async close(): Promise<void> {
    for (const [id, session] of [...this.#sessions]) void this.#end(id, session);
    await Promise.all(this.#closing);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** No part of a valid path has a slash, so no other path has the id of a valid one. */
function idOf({ topic, subscription, consumer }: ConsumerPath): string {
  return `${topic}/${subscription}/${consumer}`;
}
