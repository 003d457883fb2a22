/** The server's side of one gRPC call, straight on HTTP/2: a grpc-js server would not let a test break the rules. */
import { constants, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/** Thrown inside of a script when its call is over: there is nobody left to play it to. */
export class CallEnded extends Error {}

export class GrpcCall {
  readonly path: string;
  /** Of the request, as "authorization". */
  readonly metadata: Readonly<Record<string, string>>;
  /** The client has said all it wants to say. */
  halfClosed = false;
  /** The call is over, in whatever way. */
  closed = false;
  /** The client (or its connection) ended the call before the broker did. */
  cancelled = false;
  readonly #stream: ServerHttp2Stream;
  readonly #waiting = new Set<() => void>();
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  /** So many must be there before it is worth looking for a message. */
  #wanted = 5;
  #answered = false;
  #onMessage: (message: Buffer) => void = () => {};

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#stream = stream;
    this.path = String(headers[":path"]);
    this.metadata = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(", ") : (value ?? ""),
      ]),
    );
    stream.on("data", (data: Buffer) => {
      this.#unread.push(data);
      this.#unreadBytes += data.length;
      if (this.#unreadBytes >= this.#wanted) this.#deliver();
      this.changed();
    });
    stream.on("end", () => {
      this.halfClosed = true;
      this.changed();
    });
    stream.on("error", () => {});
    stream.on("close", () => {
      this.cancelled = !this.#answered;
      this.closed = true;
      this.changed();
    });
  }

  /** Where the messages of the client go; those that came before are told at once. */
  onMessage(handler: (message: Buffer) => void): void {
    this.#onMessage = handler;
    this.#deliver();
    this.changed();
  }

  #deliver(): void {
    const unread = Buffer.concat(this.#unread);
    let at = 0;
    this.#wanted = 5;
    while (unread.length - at >= 5) {
      const end = at + 5 + unread.readUInt32BE(at + 1);
      this.#wanted = end - at;
      if (unread.length < end) break;
      this.#onMessage(unread.subarray(at + 5, end));
      at = end;
      this.#wanted = 5;
    }
    this.#unread = [unread.subarray(at)];
    this.#unreadBytes = unread.length - at;
  }

  /** Somebody who waits for this call shall look again. */
  changed(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** @throws CallEnded when the call is over and it is still not so */
  async until(condition: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (condition()) resolve();
        else if (this.closed) reject(new CallEnded());
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Stops the client's messages from being read: flow control soon stops the client. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  #open(): void {
    if (this.closed || this.#stream.destroyed) throw new CallEnded();
    if (this.#stream.headersSent) return;
    this.#stream.respond(
      { ":status": 200, "content-type": "application/grpc+proto" },
      { waitForTrailers: true },
    );
  }

  /** Sends the response's headers, before any message. */
  sendHeaders(): void {
    this.#open();
  }

  /** Sends a message and waits for flow control. @throws CallEnded */
  async send(message: Uint8Array): Promise<void> {
    this.#open();
    const frame = Buffer.allocUnsafe(5 + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    await this.sendRaw(frame);
  }

  /** Sends bytes that need not be a whole message. @throws CallEnded */
  async sendRaw(bytes: Uint8Array): Promise<void> {
    this.#open();
    if (this.#stream.write(bytes)) return;
    let drained = false;
    this.#stream.once("drain", () => {
      drained = true;
      this.changed();
    });
    await this.until(() => drained);
  }

  /** Ends the call with a status of gRPC. As Go's server, takes no more of what the client sends. */
  finish(code: number, details: string): void {
    if (this.closed || this.#answered) return;
    this.#answered = true;
    const trailers = { "grpc-status": String(code), "grpc-message": percentEncode(details) };
    if (this.#stream.headersSent) {
      this.#stream.once("wantTrailers", () => {
        this.#stream.sendTrailers(trailers);
        setImmediate(() => this.#takeNoMore());
      });
      this.#stream.end();
    } else {
      this.#stream.respond(
        { ":status": 200, "content-type": "application/grpc+proto", ...trailers },
        { endStream: true },
      );
      setImmediate(() => this.#takeNoMore());
    }
  }

  /** Behind the trailers, never before them: a client that has not ended its side is told to stop. */
  #takeNoMore(): void {
    if (!this.halfClosed && !this.#stream.closed) this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** Ends the call with a reset of its stream alone. */
  resetStream(code: number): void {
    this.#answered = true;
    this.#stream.close(code);
  }

  /** Breaks the connection, and with it all of its calls. */
  resetConnection(): void {
    this.#answered = true;
    const { session } = this.#stream;
    if (session !== undefined) resetSocket(session);
  }
}

/** As TCP does it: no GOAWAY, and no word about the streams. */
export function resetSocket(session: Http2Session): void {
  if (!session.destroyed) (session.socket as Socket).resetAndDestroy();
}

/** As gRPC wants a status' message: printable ASCII but "%" stands for itself. */
function percentEncode(text: string): string {
  return text.replace(/[^ -$&-~]/gu, encodeURIComponent);
}
