import * as http from "node:http";
import * as https from "node:https";
import type { FragmentFile, FragmentTransport } from "../client/routed-journal-client.js";
import type { Clock } from "../clock.js";
import { JournalError } from "../errors.js";
import { systemClock } from "../system.js";
import { IdleTimer } from "./idle-timer.js";
import { printableUrl } from "./printable-url.js";
import { releasing } from "./releasing.js";

export interface HttpTransportOptions {
  /** How long a store may say nothing while something is wanted of it. Default 60,000. */
  readonly idleTimeoutMs?: number;
  /** Default 5. From https to http is refused. */
  readonly maxRedirects?: number;
  /** Connections to one store at the same time. Default: no limit. */
  readonly maxSockets?: number;
  readonly clock?: Clock;
}

/** Of a store's refusal, in the error's message. */
const MAX_ANSWER_CHARACTERS = 200;

type GetOptions = Parameters<FragmentTransport["get"]>[1];

/**
 * Fetches fragments over http(s), byte by byte as the store gives them: nothing is decompressed. Connections are kept open for the next
 * fragment until `close`, which does not touch transfers that are going on; a GET that meets one which the store has ended is sent once
 * more. Error messages hold neither the query nor the credentials of a
 * URL.
 */
export function httpTransport(options: HttpTransportOptions = {}): FragmentTransport & { close(): void } {
  const { idleTimeoutMs = 60_000, maxRedirects = 5, clock = systemClock } = options;
  const agentOptions = {
    keepAlive: true,
    ...(options.maxSockets === undefined ? {} : { maxSockets: options.maxSockets }),
  };
  const agents = { "http:": new http.Agent(agentOptions), "https:": new https.Agent(agentOptions) };
  let closed = false;

  /** Asks once more where a connection was kept open that the store has ended since: whoever keeps connections has to expect that. */
  const begin = async (url: URL, { headers, signal }: GetOptions): Promise<Begun> => {
    for (let retried = false; ; retried = true) {
      signal?.throwIfAborted();
      const transfer = new Transfer(new IdleTimer(clock, idleTimeoutMs), url, signal);
      try {
        const response = await transfer.start(
          url.protocol === "https:"
            ? https.get(url, { headers: { ...headers }, agent: agents["https:"] })
            : http.get(url, { headers: { ...headers }, agent: agents["http:"] }),
        );
        return { transfer, response };
      } catch (error) {
        const again = !retried && transfer.endedAtReuse(error);
        transfer.drop();
        if (!again) {
          throw transfer.reason(error);
        }
      }
    }
  };

  const get = async (url: string, options: GetOptions): Promise<FragmentFile> => {
    if (closed) {
      throw new JournalError("closed", "the client was closed");
    }
    let from = parse(url);
    for (let redirects = 0; ; redirects++) {
      const { transfer, response } = await begin(from, options);
      try {
        const to = redirection(response, from);
        if (to === undefined) {
          await checkStatus(response, from, transfer);
          return {
            body: transfer.body(response),
            contentEncoding: response.headers["content-encoding"] ?? "",
          };
        }
        transfer.drop();
        if (redirects === maxRedirects) {
          throw new JournalError(
            "url-refused",
            `${printableUrl(url)} was redirected more than ${maxRedirects} times`,
          );
        }
        from = to;
      } catch (error) {
        transfer.drop();
        throw transfer.reason(error);
      }
    }
  };

  return {
    get,
    close() {
      closed = true;
      // Idle connections only: a transfer keeps its own until it is over, and then the agent closes that one as well.
      for (const agent of Object.values(agents)) {
        for (const sockets of Object.values(agent.freeSockets)) {
          for (const socket of sockets ?? []) {
            socket.destroy();
          }
        }
        agent.maxFreeSockets = 0;
      }
    },
  };
}

function parse(url: string, base?: URL): URL {
  let parsed: URL;
  try {
    parsed = new URL(url, base);
  } catch {
    throw new JournalError("url-refused", "a fragment's URL is not a URL");
  }
  if (parsed.protocol !== "http:" && parsed.protocol !== "https:") {
    throw new JournalError(
      "url-refused",
      `${printableUrl(parsed.href)} cannot be fetched: only http and https can`,
    );
  }
  return parsed;
}

function redirection(response: http.IncomingMessage, from: URL): URL | undefined {
  const { location } = response.headers;
  if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) {
    return undefined;
  }
  const to = parse(location, from);
  if (from.protocol === "https:" && to.protocol !== "https:") {
    throw new JournalError(
      "url-refused",
      `${printableUrl(from.href)} was redirected from https to ${printableUrl(to.href)}`,
    );
  }
  return to;
}

async function checkStatus(response: http.IncomingMessage, url: URL, transfer: Transfer): Promise<void> {
  if (response.statusCode === 200) {
    return;
  }
  let answer = "";
  try {
    for await (const chunk of transfer.body(response)) {
      answer += Buffer.from(chunk).toString("latin1");
      if (answer.length >= MAX_ANSWER_CHARACTERS) {
        break;
      }
    }
  } catch {
    // What there is of it must do.
  }
  const said = Buffer.from(answer, "latin1").toString("utf8").slice(0, MAX_ANSWER_CHARACTERS).trim();
  throw new JournalError(
    response.statusCode === 404 ? "fragment-not-found" : "fragment-fetch",
    `the store answered ${response.statusCode} for ${printableUrl(url.href)}${said === "" ? "" : `: ${JSON.stringify(said)}`}`,
  );
}

interface Begun {
  readonly transfer: Transfer;
  readonly response: http.IncomingMessage;
}

/** One request and its answer. */
class Transfer {
  readonly #idle: IdleTimer;
  readonly #url: URL;
  readonly #signal: AbortSignal | undefined;
  #request: http.ClientRequest | undefined;
  #response: http.IncomingMessage | undefined;
  #timedOut = false;
  readonly #abort = (): void => this.drop();

  constructor(idle: IdleTimer, url: URL, signal: AbortSignal | undefined) {
    this.#idle = idle;
    this.#url = url;
    this.#signal = signal;
  }

  async start(request: http.ClientRequest): Promise<http.IncomingMessage> {
    this.#request = request;
    this.#signal?.addEventListener("abort", this.#abort, { once: true });
    this.#idle.start(() => {
      this.#timedOut = true;
      this.drop();
    });
    this.#idle.waiting = true;
    this.#response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      request.on("response", resolve);
      // Stays: an error behind the answer comes out of its body as well, and must not go unheard here.
      request.on("error", reject);
    });
    this.#idle.waiting = false;
    return this.#response;
  }

  /** Leaving it frees the connection, also when it was not begun. */
  body(response: http.IncomingMessage): AsyncIterable<Uint8Array> {
    return releasing(this.#chunks(response), () => this.drop());
  }

  async *#chunks(response: http.IncomingMessage): AsyncGenerator<Uint8Array, void, void> {
    try {
      this.#idle.waiting = true;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        this.#idle.waiting = false;
        yield chunk;
        this.#idle.waiting = true;
      }
    } catch (error) {
      throw this.reason(error);
    } finally {
      this.drop();
    }
  }

  /** Whether the request failed before any answer because its connection, which was an old one, was gone. */
  endedAtReuse(error: unknown): boolean {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return (
      this.#request?.reusedSocket === true &&
      this.#response === undefined &&
      !this.#timedOut &&
      this.#signal?.aborted !== true &&
      (code === "ECONNRESET" || code === "EPIPE")
    );
  }

  /** What to throw for an error of the request or its answer. */
  reason(error: unknown): unknown {
    if (this.#signal?.aborted) {
      return this.#signal.reason;
    }
    if (error instanceof JournalError) {
      return error;
    }
    const url = printableUrl(this.#url.href);
    return this.#timedOut
      ? new JournalError("fragment-fetch", `the store said nothing for too long about ${url}`)
      : new JournalError("fragment-fetch", `the store could not be reached, or broke off, for ${url}`, {
          cause: error,
        });
  }

  /** Frees the connection, or ends it. May follow anything. */
  drop(): void {
    this.#idle.stop();
    this.#signal?.removeEventListener("abort", this.#abort);
    // After a complete answer this does nothing: its connection has gone back to the agent.
    if (this.#response?.complete !== true || !this.#response.readableEnded) {
      this.#request?.destroy();
    }
    this.#response?.destroy();
  }
}
