/** The gateway's HTTP interface, as the commands need it. */
export class GatewayHttp {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url.replace(/\/+$/, "");
  }

  get(path: string): Promise<unknown> {
    return this.#request(path, {}).then((response) => response.json());
  }

  post(path: string, body: unknown): Promise<unknown> {
    const headers = { "content-type": "application/json" };
    return this.#request(path, { method: "POST", headers, body: JSON.stringify(body) }).then((response) =>
      response.json(),
    );
  }

  postLines(path: string, lines: readonly string[]): Promise<unknown> {
    const headers = { "content-type": "application/x-ndjson" };
    return this.#request(path, { method: "POST", headers, body: lines.join("\n") }).then((response) =>
      response.json(),
    );
  }

  async getLines(path: string, signal: AbortSignal): Promise<unknown[]> {
    const text = await (await this.#request(path, { signal })).text();
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  /** The data of the "message" events of a server-sent stream. @throws on an "error" event, and when the stream ends */
  async *events(path: string, signal: AbortSignal): AsyncGenerator<unknown> {
    const response = await this.#request(path, { signal });
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of response.body ?? []) {
      text += decoder.decode(bytes, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const field = (name: string): string =>
          block
            .split("\n")
            .filter((line) => line.startsWith(`${name}: `))
            .map((line) => line.slice(name.length + 2))
            .join("\n");
        const event = field("event");
        if (event === "error") throw new Error(field("data"));
        if (event === "message") yield JSON.parse(field("data"));
      }
    }
    throw new Error("the gateway ended the stream");
  }

  async #request(path: string, init: RequestInit): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.#url + path, init);
    } catch (cause) {
      init.signal?.throwIfAborted();
      throw new Error(
        `no gateway answers at ${this.#url}: start one with "serve", or say where it is with --url`,
        { cause },
      );
    }
    if (response.ok) return response;
    const text = await response.text();
    let message = text;
    try {
      message = (JSON.parse(text) as { error: { message: string } }).error.message;
    } catch {
      // Not our answer: shown as it is.
    }
    throw new Error(message || `the gateway answered ${response.status}`);
  }
}
