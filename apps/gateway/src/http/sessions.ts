/**
 * Consumers over HTTP. A pull opens a session of the named consumer, which holds its segments; each pull and commit keeps it; after a
 * while of silence it ends, and others get its segments.
 */

import { type Consumer, type TopicClient, TopicError } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";

interface Session {
  readonly consumer: Promise<Consumer>;
  /** Requests that are using it now. */
  users: number;
  cancelExpiry: () => void;
}

export class HttpSessions {
  readonly #client: TopicClient;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #sessions = new Map<string, Session>();
  readonly #closing = new Set<Promise<void>>();

  constructor(client: TopicClient, options: { readonly clock: Clock; readonly silenceMs: number }) {
    this.#client = client;
    this.#clock = options.clock;
    this.#silenceMs = options.silenceMs;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Runs with the consumer's session, opening it if need be. */
  async use<T>(
    topic: string,
    subscription: string,
    name: string,
    work: (consumer: Consumer) => Promise<T>,
  ): Promise<T> {
    const id = `${topic}/${subscription}/${name}`;
    let session = this.#sessions.get(id);
    if (!session) {
      const consumer = this.#client.subscribe(topic, subscription, { consumer: name });
      session = { consumer, users: 0, cancelExpiry: () => {} };
      this.#sessions.set(id, session);
      const opened = session;
      consumer.catch(() => this.#forget(id, opened));
    }
    return await this.#during(id, session, work);
  }

  /** Runs with the consumer's session. @throws TopicError "lease-lost" when there is none */
  async useExisting<T>(
    topic: string,
    subscription: string,
    name: string,
    work: (consumer: Consumer) => Promise<T>,
  ): Promise<T> {
    const id = `${topic}/${subscription}/${name}`;
    const session = this.#sessions.get(id);
    if (!session) {
      throw new TopicError(
        "lease-lost",
        `the consumer "${name}" has no session: it ends after ${this.#silenceMs / 1000} s of silence; pull again`,
      );
    }
    return await this.#during(id, session, work);
  }

  async #during<T>(id: string, session: Session, work: (consumer: Consumer) => Promise<T>): Promise<T> {
    session.users += 1;
    session.cancelExpiry();
    try {
      return await work(await session.consumer);
    } finally {
      session.users -= 1;
      if (session.users === 0 && this.#sessions.get(id) === session) {
        session.cancelExpiry = this.#clock.setTimer(this.#silenceMs, () => this.#end(id, session));
      }
    }
  }

  #forget(id: string, session: Session): void {
    session.cancelExpiry();
    if (this.#sessions.get(id) === session) this.#sessions.delete(id);
  }

  #end(id: string, session: Session): void {
    this.#forget(id, session);
    const closing = session.consumer
      .then((consumer) => consumer.close())
      .catch(() => {})
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async close(): Promise<void> {
    for (const [id, session] of [...this.#sessions]) this.#end(id, session);
    await Promise.all(this.#closing);
  }
}
