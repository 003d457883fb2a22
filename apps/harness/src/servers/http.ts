import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";

export interface RequestOptions {
  /** Default GET, and POST with a `post`. */
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  /** Sent as JSON. */
  readonly post?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** A Unix socket on which the server listens, in place of the URL's host and port. */
  readonly socketPath?: string;
  /** For https: the trusted authority, as PEM. Default: the usual ones. */
  readonly ca?: string;
  /** With `ca`, for servers that ask for it: our certificate and its key, as PEM. */
  readonly cert?: string;
  readonly key?: string;
  /** Default 2,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * One HTTP request to a server on this machine, on a connection of its own: a pooled one would outlive a killed server.
 * @returns the parsed JSON of a 200 or 201 answer, undefined for a 204. @throws on anything else, and with `signal.reason` on abort
 */
export async function requestJson(url: string, options: RequestOptions = {}): Promise<unknown> {
  const { status, text } = await requestText(url, options);
  if (status === 204) return undefined;
  if (status !== 200 && status !== 201) throw new Error(`${url} answered ${status}: ${text.trim()}`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${url} answered no JSON: ${text.slice(0, 200)}`, { cause: error });
  }
}

/** The same, with the answer as it came. */
export function requestText(
  url: string,
  options: RequestOptions = {},
): Promise<{ readonly status: number; readonly text: string }> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const fail = (error: Error): void => reject(signal?.aborted === true ? signal.reason : error);
    const body = options.post === undefined ? undefined : JSON.stringify(options.post);
    const call = (url.startsWith("https:") ? requestHttps : requestHttp)(
      url,
      {
        ca: options.ca,
        cert: options.cert,
        key: options.key,
        agent: false,
        method: options.method ?? (body === undefined ? "GET" : "POST"),
        timeout: options.timeoutMs ?? 2_000,
        socketPath: options.socketPath,
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...options.headers,
        },
        signal,
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => {
          text += part;
        });
        answer.once("error", fail);
        answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    call.once("timeout", () => call.destroy(new Error(`${url} did not answer in time`)));
    call.once("error", fail);
    call.end(body);
  });
}
