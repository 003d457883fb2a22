import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/**
 * The port that a store's client knows, and what it leads to at the moment. Toxics are for a proxy that nobody goes through yet: whoever removes one from connections
 * that end at that moment waits for them, and sometimes for ever.
 */
export class Way implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #to: number;

  private constructor(server: Server, port: number, to: number) {
    this.#server = server;
    this.port = port;
    this.#to = to;
    server.on("connection", (client) => this.#join(client));
  }

  /** To a port of this machine. */
  static async open(to: number): Promise<Way> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("it listens on no port");
    return new Way(server, address.port, to);
  }

  #join(client: Socket): void {
    const target = connect({ port: this.#to, host: "127.0.0.1", allowHalfOpen: true });
    for (const [own, other] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(own);
      own.setNoDelay(true);
      // A reset is passed on as one.
      own.on("error", () => other.resetAndDestroy());
      own.on("close", () => this.#sockets.delete(own));
      own.pipe(other);
    }
  }

  /** What is open is reset, in the middle of whatever it carries; what comes leads there. */
  leadTo(port: number): void {
    this.#to = port;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.leadTo(0);
    this.#server.close();
    await once(this.#server, "close");
  }
}
