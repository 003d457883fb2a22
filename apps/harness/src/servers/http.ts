import { request } from "node:http";

/**
 * One HTTP request to a server on this machine, on a connection of its own: a pooled one would outlive a killed server.
 * @returns the parsed JSON of a 200 answer. @throws on anything else, and with `signal.reason` on abort
 */
export function requestJson(
  url: string,
  options: { readonly post?: unknown; readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<unknown> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const fail = (error: Error): void => reject(signal?.aborted === true ? signal.reason : error);
    const body = options.post === undefined ? undefined : JSON.stringify(options.post);
    const call = request(
      url,
      {
        agent: false,
        method: body === undefined ? "GET" : "POST",
        timeout: options.timeoutMs ?? 2_000,
        headers: body === undefined ? {} : { "content-type": "application/json" },
        signal,
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (part: string) => {
          text += part;
        });
        answer.once("error", fail);
        answer.once("end", () => {
          if (answer.statusCode !== 200)
            return fail(new Error(`${url} answered ${answer.statusCode}: ${text.trim()}`));
          try {
            resolve(JSON.parse(text));
          } catch (error) {
            fail(new Error(`${url} answered no JSON: ${text.slice(0, 200)}`, { cause: error }));
          }
        });
      },
    );
    call.once("timeout", () => call.destroy(new Error(`${url} did not answer in time`)));
    call.once("error", fail);
    call.end(body);
  });
}
