/** A store of fragments over HTTP that fails as a test says. It listens on 127.0.0.1. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** How a file is served, and what goes wrong with it. */
export interface StubFile {
  readonly body: Uint8Array;
  /** Default 200. */
  readonly status?: number;
  /** Sent as Content-Encoding, whatever the body is. */
  readonly contentEncoding?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** After so many bytes of the body the transfer stops, and `then` tells how. Default: the whole body, and a good end. */
  readonly after?: number;
  /**
   * - `"end"`: a good end, as if there were no more (the length is not told).
   * - `"cut"`: the connection is closed before the length that was told.
   * - `"reset"`: the connection is reset.
   * - a promise: the rest follows when it has settled.
   */
  readonly then?: "end" | "cut" | "reset" | Promise<unknown>;
}

export interface StubRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The client closed the connection before the end of the body. */
  readonly aborted: boolean;
}

export class StubHttpStore {
  /** As "http://127.0.0.1:1234". */
  readonly url: string;
  readonly requests: StubRequest[] = [];
  readonly #server: Server;
  readonly #files = new Map<string, StubFile[]>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response: ServerResponse) => {
      const seen = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        aborted: false,
      };
      this.requests.push(seen);
      response.on("close", () => {
        seen.aborted = !response.writableFinished;
      });
      response.on("error", () => {});
      void this.#serve(new URL(seen.path, this.url).pathname, response);
    });
  }

  static async start(): Promise<StubHttpStore> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new StubHttpStore(server);
  }

  /** Serves a file at a path: each of `files` once, and the last from then on. Gives its URL, with a signature as stores have it. */
  put(path: string, ...files: readonly (StubFile | Uint8Array)[]): string {
    this.#files.set(
      path,
      files.map((file) => (file instanceof Uint8Array ? { body: file } : file)),
    );
    return `${this.url}${path}?signature=good`;
  }

  /** Answers with a status and a few words, as stores do: 403 for a signature that has expired. */
  refuse(path: string, status: number, words = "refused"): string {
    return this.put(path, { status, body: Buffer.from(words) });
  }

  async #serve(path: string, response: ServerResponse): Promise<void> {
    const files: StubFile[] = this.#files.get(path) ?? [{ status: 404, body: Buffer.from("NoSuchKey") }];
    const file = files.length > 1 ? files.shift()! : files[0]!;
    const { body, status = 200, contentEncoding, headers = {}, after = body.length, then = "end" } = file;
    const whole = after >= body.length || then !== "end";
    response.writeHead(status, {
      ...headers,
      ...(contentEncoding !== undefined && { "content-encoding": contentEncoding }),
      ...(whole && { "content-length": String(body.length) }),
    });
    response.flushHeaders();
    const part = body.subarray(0, after);
    if (part.length > 0) await new Promise<void>((resolve) => response.write(part, () => resolve()));
    if (then === "reset") response.socket?.resetAndDestroy();
    else if (then === "cut") response.socket?.end();
    else if (then === "end") response.end();
    else {
      await then;
      response.end(body.subarray(after));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}
