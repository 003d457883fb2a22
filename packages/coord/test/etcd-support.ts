import { connect, createServer, type Server, type Socket } from "node:net";
import type { Coord, WatchBatch } from "../src/port.js";

/** For `expect.poll`, whose own second is short for a process and a disk that others use as well. */
export const soon: { readonly timeout: number } = { timeout: 20_000 };

type Direction = "toServer" | "toClient";

/** A TCP proxy on loopback whose connections can go bad in the ways that real ones do. */
export class FaultyProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs: Set<{ readonly client: Socket; readonly server: Socket }> = new Set();
  #upstream: number;
  #swallow: ReadonlySet<Direction> = new Set();
  #held: Socket[] | undefined;
  /** Connections so far. */
  accepted = 0;
  /** Bytes passed on so far. */
  bytesToClient = 0;

  static async start(upstream: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(upstream);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  private constructor(upstream: number) {
    this.#upstream = upstream;
    this.#server = createServer((client) => this.#accept(client));
  }

  get endpoint(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  /** New connections go there. */
  redirect(upstream: number): void {
    this.#upstream = upstream;
  }

  /** Connections that exist now never carry another byte, and are not closed; new ones are fine. */
  freezeExisting(): void {
    for (const { client, server } of this.#pairs) {
      client.removeAllListeners("data").pause();
      server.removeAllListeners("data").pause();
    }
  }

  /** From now on bytes of this direction get lost, on all connections. */
  swallow(...directions: readonly Direction[]): void {
    this.#swallow = new Set(directions);
  }

  /** New connections get nowhere until `release`. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const client of held) this.#join(client);
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size;
  }

  /** Ends all connections of now. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#held ?? []) client.destroy();
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(client: Socket): void {
    this.accepted++;
    if (this.#held === undefined) this.#join(client);
    else this.#held.push(client.on("error", () => {}));
  }

  #join(client: Socket): void {
    const server = connect(this.#upstream, "127.0.0.1");
    const pair = { client, server };
    this.#pairs.add(pair);
    client.on("data", (bytes) => void (this.#swallow.has("toServer") || server.write(bytes)));
    server.on("data", (bytes) => {
      this.bytesToClient += bytes.length;
      if (!this.#swallow.has("toClient")) client.write(bytes);
    });
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on("error", end).on("close", end);
  }
}

export function portOf(endpoint: string): number {
  return Number(new URL(endpoint).port);
}

export async function put(coord: Coord, key: string, value = ""): Promise<bigint> {
  return (await coord.txn({ then: [{ type: "put", key, value }] })).revision;
}

/** The next so many batches of a watch. */
export async function take(watch: Pick<WatchIterator, "next">, count: number): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  while (batches.length < count) {
    const { value, done } = await watch.next();
    if (done === true) throw new Error(`the watch ended after ${batches.length} of ${count} batches`);
    batches.push(value);
  }
  return batches;
}

export interface WatchIterator {
  next(): Promise<IteratorResult<WatchBatch>>;
  return(): Promise<unknown>;
}

export function iterate(watch: AsyncIterable<WatchBatch>): WatchIterator {
  const iterator = watch[Symbol.asyncIterator]();
  return { next: () => iterator.next(), return: async () => await iterator.return?.() };
}

export function revisionsOf(batches: readonly WatchBatch[]): bigint[] {
  return batches.map(({ revision }) => revision);
}

/** "put a=1", "delete a". */
export function describeEvents(batch: WatchBatch): string[] {
  return batch.events.map((event) =>
    event.type === "put"
      ? `put ${event.kv.key}=${new TextDecoder().decode(event.kv.value)}`
      : `delete ${event.key}`,
  );
}

/** How many watches etcd serves now, from its own metrics. */
export function watchersOn(endpoint: string): Promise<number> {
  return metric(endpoint, /^etcd_debugging_mvcc_watcher_total (\d+)$/m);
}

/** How many watch streams etcd was ever asked for. */
export function watchStreamsOpened(endpoint: string): Promise<number> {
  return metric(endpoint, /^grpc_server_started_total\{grpc_method="Watch",[^}]*\} (\d+)$/m);
}

/** How many messages etcd has sent on all its watch streams. */
export function watchMessagesSent(endpoint: string): Promise<number> {
  return metric(endpoint, /^grpc_server_msg_sent_total\{grpc_method="Watch",[^}]*\} (\d+)$/m);
}

async function metric(endpoint: string, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${endpoint}/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? 0);
}
