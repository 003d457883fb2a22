import type { BufferApi, BufferConnection, ConnectBuffer } from "../protocol/buffer-api.js";
import type { StateCache } from "../topics/cache.js";

/** One connection for each buffer that is spoken with, closed when the buffer is gone from the records. */
export class Connections implements AsyncDisposable {
  readonly #connect: ConnectBuffer;
  readonly #open = new Map<string, BufferConnection>();
  readonly #unlisten: () => void;
  readonly #closing = new Set<Promise<void>>();

  constructor(connect: ConnectBuffer, cache: StateCache) {
    this.#connect = connect;
    let buffersSeen = "";
    this.#unlisten = cache.listen(() => {
      const addresses = [...cache.state.buffers.values()].map((buffer) => buffer.address).sort();
      const seen = addresses.join(" ");
      if (seen === buffersSeen) return;
      buffersSeen = seen;
      this.#keepOnly(new Set(addresses));
    });
  }

  to(address: string): BufferApi {
    let connection = this.#open.get(address);
    if (!connection) {
      connection = this.#connect(address);
      this.#open.set(address, connection);
    }
    return connection;
  }

  #keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, connection] of [...this.#open]) {
      if (!addresses.has(address)) this.#drop(address, connection);
    }
  }

  #drop(address: string, connection: BufferConnection): void {
    this.#open.delete(address);
    const closing: Promise<void> = Promise.resolve(connection[Symbol.asyncDispose]()).finally(() =>
      this.#closing.delete(closing),
    );
    this.#closing.add(closing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unlisten();
    this.#keepOnly(new Set());
    await Promise.allSettled([...this.#closing]);
  }
}
