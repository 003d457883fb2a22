/** The gateway's HTTP interface, as the commands need it. */

/** One of a stream of server-sent events, its data parsed. */
export interface ServerEvent {
  readonly event: string;
  readonly data: unknown;
}

export class GatewayHttp {
  readonly #url: string;

  constructor(url: string) {
    this.#url = (url.includes("://") ? url : `http://${url}`).replace(/\/+$/, "");
  }

  async get(path: string): Promise<unknown> {
    return await (await this.#request(path, {})).json();
  }

  async post(path: string, body: unknown): Promise<unknown> {
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    return await (await this.#request(path, init)).json();
  }

  async delete(path: string): Promise<void> {
    await this.#request(path, { method: "DELETE" });
  }

  /** Appends messages, one a line. */
  async postLines(path: string, lines: readonly string[]): Promise<{ readonly ids: readonly string[] }> {
    const headers = { "content-type": "application/x-ndjson" };
    const response = await this.#request(path, { method: "POST", headers, body: lines.join("\n") });
    return (await response.json()) as { ids: string[] };
  }

  /** Pulls messages. */
  async getLines(path: string, signal: AbortSignal): Promise<{ readonly ack: string }[]> {
    const text = await (await this.#request(path, { signal })).text();
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  /** Server-sent events, until the stream ends. @throws on an "error" event */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const response = await this.#request(path, { signal });
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of response.body ?? []) {
      text += decoder.decode(bytes, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = field(block, "event");
        const data = field(block, "data");
        if (event === "error") throw new Error(messageOf(data) ?? data);
        if (event !== "") yield { event, data: JSON.parse(data) };
      }
    }
  }

  async #request(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.#url + path, init);
    } catch (cause) {
      init.signal?.throwIfAborted();
      throw new Error(
        `no gateway answers at ${this.#url}: start one with "serve", or say where it is with --url`,
        { cause: (cause as Error).cause ?? cause },
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    throw new Error(
      messageOf(text) ?? `${this.#url} answered ${response.status}, and not as a gateway does: is it one?`,
    );
  }
}

/** Of an error as the gateway tells it; undefined for any other text. */
function messageOf(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { readonly error?: { readonly message?: unknown } };
    return typeof error?.message === "string" ? error.message : undefined;
  } catch {
    return undefined;
  }
}

function field(block: string, name: string): string {
  return block
    .split("\n")
    .filter((line) => line.startsWith(`${name}: `))
    .map((line) => line.slice(name.length + 2))
    .join("\n");
}
