/** The gateway's HTTP interface, as a test speaks it. */

/** Everything that any of the answers has. */
export interface AnswerJson {
  readonly error?: { readonly code: string; readonly message: string };
  readonly id?: string;
  readonly ids?: string[];
  readonly name?: string;
  readonly messages?: number;
  readonly topics?: { readonly name: string; readonly rangeSizeFactor: number }[];
  readonly subscriptions?: unknown[];
  readonly ranges?: { readonly from: number; readonly to: number; readonly buffer: string | null }[];
  readonly buffers?: { readonly id: string; readonly ranges: number }[];
  readonly committed?: number;
  readonly ended?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** Empty when the answer was no JSON. */
  readonly json: AnswerJson;
}

export interface Delivered {
  readonly id: string;
  readonly key: string;
  readonly data: string;
  readonly base64?: true;
  readonly headers?: Record<string, string>;
  readonly time: string;
  readonly ack: string;
}

export class Http {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  async send(method: string, path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(this.url + path, { ...init, method });
    const text = await response.text();
    const type = response.headers.get("content-type") ?? "";
    const json = type.startsWith("application/json") ? (JSON.parse(text) as AnswerJson) : {};
    return { status: response.status, type, text, json };
  }

  get(path: string): Promise<Answer> {
    return this.send("GET", path);
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.postText(path, JSON.stringify(body));
  }

  postText(path: string, body: string | Uint8Array, type = "application/json"): Promise<Answer> {
    return this.send("POST", path, { body, headers: { "content-type": type } });
  }

  postLines(topic: string, lines: readonly (string | object)[]): Promise<Answer> {
    const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
    return this.postText(`/v1/topics/${topic}/messages`, text, "application/x-ndjson");
  }

  async createTopic(name: string, rangeSizeFactor?: number): Promise<string> {
    const { status, json } = await this.post("/v1/topics", { name, rangeSizeFactor });
    if (status !== 201) throw new Error(`could not create ${name}: ${JSON.stringify(json)}`);
    return name;
  }

  async subscribe(topic: string, name: string): Promise<string> {
    const { status, json } = await this.post(`/v1/topics/${topic}/subscriptions`, { name });
    if (status !== 201) throw new Error(`could not subscribe to ${topic}: ${JSON.stringify(json)}`);
    return `/v1/topics/${topic}/subscriptions/${name}`;
  }

  /** @param at what `subscribe` returned */
  async pull(at: string, consumer: string, { max = 100, waitMs = 5_000 } = {}): Promise<Delivered[]> {
    const { status, text } = await this.get(
      `${at}/messages?consumer=${consumer}&max=${max}&waitMs=${waitMs}`,
    );
    if (status !== 200) throw new Error(`could not pull: ${text}`);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  /** Pulls until there were so many. */
  async pullCount(at: string, consumer: string, count: number): Promise<Delivered[]> {
    const messages: Delivered[] = [];
    while (messages.length < count) {
      const some = await this.pull(at, consumer, {
        max: Math.min(10_000, count - messages.length),
        waitMs: 30_000,
      });
      if (some.length === 0) throw new Error(`only ${messages.length} of ${count} messages came`);
      messages.push(...some);
    }
    return messages;
  }

  /** Pulls and commits until all of these were there; everything that came, in the order of delivery. */
  async readUntil(at: string, consumer: string, ids: Iterable<string>): Promise<Delivered[]> {
    const missing = new Set(ids);
    const messages: Delivered[] = [];
    while (missing.size > 0) {
      const some = await this.pull(at, consumer, { max: 10_000, waitMs: 20_000 });
      if (some.length === 0) throw new Error(`${missing.size} messages do not come`);
      for (const { id } of some) missing.delete(id);
      messages.push(...some);
      await this.commit(
        at,
        consumer,
        some.map(({ ack }) => ack),
      );
    }
    return messages;
  }

  commit(at: string, consumer: string, acks: readonly string[]): Promise<Answer> {
    return this.post(`${at}/commit`, { consumer, acks });
  }

  /** Messages stored in a topic. */
  async count(topic: string): Promise<number> {
    return (await this.get(`/v1/topics/${topic}`)).json.messages as number;
  }

  /** The value of a metric without labels. */
  async metric(name: string): Promise<number> {
    const { text } = await this.get("/metrics");
    return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
  }
}

export interface ServerEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: AnswerJson & Partial<Delivered>;
}

/** Server-sent events. Leaving the loop is going away. */
export async function* events(url: string, signal?: AbortSignal): AsyncGenerator<ServerEvent> {
  const response = await fetch(url, signal ? { signal } : {});
  if (!response.ok || !response.body) throw new Error(`no stream: ${response.status}`);
  let text = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    const blocks = text.split("\n\n");
    text = blocks.pop() as string;
    for (const block of blocks) {
      const fields = new Map(
        block.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]),
      );
      const event = fields.get("event");
      if (event !== undefined)
        yield { event, id: fields.get("id"), data: JSON.parse(fields.get("data") as string) };
    }
  }
}
