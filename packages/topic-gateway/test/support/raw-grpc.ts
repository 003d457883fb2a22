/** A gRPC client that says what it likes, and takes what it likes. */
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";

export interface RawEnd {
  /** The status that came; undefined for a call that was reset without one. */
  readonly status: number | undefined;
  readonly details: string;
  /** The code of HTTP/2 that it was reset with. */
  readonly reset: number;
}

export class RawCaller {
  readonly #session: ClientHttp2Session;

  /** @param windowBytes how much of each answer may be sent before it is taken; nothing ever is */
  constructor(port: number, windowBytes?: number) {
    this.#session = connect(`http://127.0.0.1:${port}`, {
      ...(windowBytes !== undefined && { settings: { initialWindowSize: windowBytes } }),
    });
    this.#session.on("error", () => {});
  }

  /** Resolves with false when the server closes the connection instead. */
  async isTaken(): Promise<boolean> {
    await Promise.race([once(this.#session, "remoteSettings"), once(this.#session, "close")]);
    return !this.#session.destroyed;
  }

  call(method: string, headers: Readonly<Record<string, string>> = {}): RawCall {
    return new RawCall(
      this.#session.request({
        ":method": "POST",
        ":path": `/ntail.streams.v1.GatewayService/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      }),
    );
  }

  destroy(): void {
    this.#session.destroy();
  }
}

export class RawCall {
  readonly #stream: ClientHttp2Stream;
  readonly ended: Promise<RawEnd>;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    let status: number | undefined;
    let details = "";
    const onHeaders = (headers: Readonly<Record<string, unknown>>): void => {
      if (headers["grpc-status"] === undefined) return;
      status = Number(headers["grpc-status"]);
      details = decodeURI(String(headers["grpc-message"]));
    };
    stream.on("response", onHeaders);
    stream.on("trailers", onHeaders);
    stream.on("error", () => {});
    stream.resume();
    this.ended = new Promise((resolve) => {
      stream.once("close", () => resolve({ status, details, reset: stream.rstCode ?? 0 }));
    });
  }

  /** Resolves when it was handed to the kernel, or the call has ended. */
  write(bytes: Uint8Array): Promise<void> {
    return Promise.race([
      new Promise<void>((resolve) => void this.#stream.write(bytes, () => resolve())),
      this.ended.then(() => {}),
    ]);
  }

  end(): void {
    this.#stream.end();
  }

  cancel(): void {
    this.#stream.close(8);
  }
}

/** A message as it travels. `announced` is its length, if it is to be another one than that of the bytes. */
export function frame(
  message: Uint8Array,
  { announced = message.length, isCompressed = false }: { announced?: number; isCompressed?: boolean } = {},
): Buffer {
  const header = Buffer.alloc(5);
  header[0] = isCompressed ? 1 : 0;
  header.writeUInt32BE(announced, 1);
  return Buffer.concat([header, message]);
}
