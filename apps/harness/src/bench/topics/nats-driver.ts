import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  StorageType,
} from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { Driver, Reader } from "./driver.js";

/** Messages that a consumer asks for ahead; it acknowledges every half of it. */
const AHEAD = 1_000;
const PUBLISH_TIMEOUT_MS = 20_000;

/** A stream on file, and durable pull consumers that acknowledge everything up to a message (`AckPolicy.All`). */
export async function openNatsDriver(port: number): Promise<Driver> {
  const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false });
  const manager = await jetstreamManager(connection);
  return new NatsDriver(connection, manager, jetstream(connection, { timeout: PUBLISH_TIMEOUT_MS }));
}

class NatsDriver implements Driver {
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #client: JetStreamClient;
  #stream = "";
  #consumers = 0;

  constructor(connection: NatsConnection, manager: JetStreamManager, client: JetStreamClient) {
    this.#connection = connection;
    this.#manager = manager;
    this.#client = client;
  }

  async useTopic(name: string): Promise<void> {
    if (this.#stream !== "") await this.#manager.streams.delete(this.#stream);
    this.#stream = name;
    await this.#manager.streams.add({
      name,
      subjects: [name],
      storage: StorageType.File,
      num_replicas: 1,
      allow_atomic: true,
    });
  }

  publish(data: Buffer): Promise<unknown> {
    return this.#client.publish(this.#stream, data, { timeout: PUBLISH_TIMEOUT_MS });
  }

  /** As an atomic batch: more than twice as fast as publishing asynchronously. */
  async publishBatch(messages: readonly Buffer[]): Promise<unknown> {
    const [first, ...others] = messages;
    const last = others.pop();
    if (first === undefined) return;
    if (last === undefined) return await this.publish(first);
    const batch = await this.#client.startBatch(this.#stream, first);
    for (const data of others) batch.add(this.#stream, data);
    return await batch.commit(this.#stream, last, { timeout: PUBLISH_TIMEOUT_MS });
  }

  async openReader(): Promise<Reader> {
    const name = await this.#newConsumer(DeliverPolicy.All);
    const consumer = await this.#client.consumers.get(this.#stream, name);
    return {
      read: async (deliver) => {
        const messages = await consumer.consume({ max_messages: AHEAD });
        let unacknowledged = 0;
        for await (const message of messages) {
          unacknowledged += 1;
          const goesOn = deliver(1);
          if (!goesOn) {
            // Waits for the server, which has by then taken the ones before.
            await message.ackAck({ timeout: PUBLISH_TIMEOUT_MS });
            break;
          }
          if (unacknowledged < AHEAD / 2) continue;
          unacknowledged = 0;
          message.ack();
        }
        await messages.close();
      },
      [Symbol.asyncDispose]: async () => {
        await this.#manager.consumers.delete(this.#stream, name);
      },
    };
  }

  async openLive(onMessage: (data: Uint8Array) => void): Promise<AsyncDisposable> {
    const name = await this.#newConsumer(DeliverPolicy.New);
    const consumer = await this.#client.consumers.get(this.#stream, name);
    let seen = 0;
    let last: { ack(): void } | undefined;
    const messages = await consumer.consume({
      max_messages: AHEAD,
      callback: (message) => {
        onMessage(message.data);
        seen += 1;
        last = message;
        if (seen % (AHEAD / 2) === 0) message.ack();
      },
    });
    return {
      [Symbol.asyncDispose]: async () => {
        last?.ack();
        await messages.close();
        await this.#manager.consumers.delete(this.#stream, name);
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }

  async #newConsumer(deliver: DeliverPolicy): Promise<string> {
    const name = `c${++this.#consumers}`;
    await this.#manager.consumers.add(this.#stream, {
      durable_name: name,
      ack_policy: AckPolicy.All,
      deliver_policy: deliver,
      max_ack_pending: 10 * AHEAD,
    });
    return name;
  }
}
