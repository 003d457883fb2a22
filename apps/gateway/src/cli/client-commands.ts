/** Commands that speak with a running gateway over its HTTP interface. Results on stdout as NDJSON, progress on stderr. */
import { createInterface } from "node:readline";
import { type Command, Option } from "commander";
import { count } from "../config.js";
import { GatewayHttp } from "./gateway-http.js";

const BATCH_MESSAGES = 1_000;
const BATCH_BYTES = 4 * 1024 * 1024;

interface Target {
  readonly url: string;
}

export function addClientCommands(program: Command): void {
  const topic = program.command("topic").description("create, list and describe topics");
  withUrl(topic.command("create <name>"))
    .option("--range-size-factor <n>", "hash ranges have 2^n hashes, n from 6 to 16", count(6, 16))
    .action(async (name: string, { url, rangeSizeFactor }: Target & { rangeSizeFactor?: number }) => {
      print(
        await new GatewayHttp(url).post("/v1/topics", {
          name,
          ...(rangeSizeFactor !== undefined && { rangeSizeFactor }),
        }),
      );
    });
  withUrl(topic.command("list")).action(async ({ url }: Target) => {
    const { topics } = (await new GatewayHttp(url).get("/v1/topics")) as { topics: unknown[] };
    for (const one of topics) print(one);
  });
  withUrl(topic.command("describe <name>")).action(async (name: string, { url }: Target) => {
    print(await new GatewayHttp(url).get(`/v1/topics/${encodeURIComponent(name)}`));
  });

  const subscription = program.command("subscription").description("create and list subscriptions");
  withUrl(subscription.command("create <topic> <name>"))
    .addOption(
      new Option("--mode <mode>", "where to start").choices(["earliest", "latest"]).default("earliest"),
    )
    .action(async (topicName: string, name: string, { url, mode }: Target & { mode: string }) => {
      print(
        await new GatewayHttp(url).post(`/v1/topics/${encodeURIComponent(topicName)}/subscriptions`, {
          name,
          mode,
        }),
      );
    });
  withUrl(subscription.command("list <topic>")).action(async (topicName: string, { url }: Target) => {
    const path = `/v1/topics/${encodeURIComponent(topicName)}/subscriptions`;
    const { subscriptions } = (await new GatewayHttp(url).get(path)) as { subscriptions: unknown[] };
    for (const one of subscriptions) print(one);
  });

  withUrl(program.command("append <topic>"))
    .description(
      `append messages from stdin: NDJSON {"key","data"}, or with --key every line as the data of one message`,
    )
    .option("--key <key>", "the key of every line")
    .action(append);
  withUrl(program.command("tail <topic>"))
    .description(
      "print messages as NDJSON: live ones, or with --subscription all of a subscription's, committed when printed",
    )
    .option("--subscription <name>", "read this subscription")
    .option("--consumer <name>", "as this consumer", `cli-${process.pid}`)
    .option("--max <n>", "stop after so many", count(1, 2 ** 40))
    .action(tail);
}

async function append(topic: string, { url, key }: Target & { key?: string }): Promise<void> {
  const gateway = new GatewayHttp(url);
  const path = `/v1/topics/${encodeURIComponent(topic)}/messages`;
  let lines: string[] = [];
  let bytes = 0;
  let first = 1;
  let appended = 0;
  const flush = async (): Promise<void> => {
    if (lines.length === 0) return;
    const { ids } = (await gateway.postLines(path, lines).catch((cause) => {
      throw new Error(
        `lines ${first} to ${first + lines.length - 1} were not appended as a whole, ${appended} before them were`,
        { cause },
      );
    })) as { ids: string[] };
    process.stdout.write(ids.map((id) => `${JSON.stringify({ id })}\n`).join(""));
    appended += ids.length;
    first += lines.length;
    lines = [];
    bytes = 0;
    process.stderr.write(`\rappended ${appended}`);
  };
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (key === undefined && line.trim() === "") continue;
    lines.push(key === undefined ? line : JSON.stringify({ key, data: line }));
    bytes += line.length;
    if (lines.length >= BATCH_MESSAGES || bytes >= BATCH_BYTES) await flush();
  }
  await flush();
  process.stderr.write(`\rappended ${appended}\n`);
}

async function tail(
  topic: string,
  {
    url,
    subscription,
    consumer,
    max = Number.POSITIVE_INFINITY,
  }: Target & { subscription?: string; consumer: string; max?: number },
): Promise<void> {
  const gateway = new GatewayHttp(url);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  const base = `/v1/topics/${encodeURIComponent(topic)}`;
  let printed = 0;
  try {
    if (subscription === undefined) {
      for await (const message of gateway.events(`${base}/tail`, stop.signal)) {
        print(message);
        printed += 1;
        if (printed >= max) return;
      }
      return;
    }
    const at = `${base}/subscriptions/${encodeURIComponent(subscription)}`;
    while (printed < max && !stop.signal.aborted) {
      const limit = Math.min(1_000, max - printed);
      const query = `consumer=${encodeURIComponent(consumer)}&max=${limit}&waitMs=5000`;
      const messages = (await gateway.getLines(`${at}/messages?${query}`, stop.signal)) as { ack: string }[];
      if (messages.length === 0) continue;
      for (const { ack: _, ...message } of messages) print(message);
      printed += messages.length;
      await gateway.post(`${at}/commit`, { consumer, acks: messages.map(({ ack }) => ack) });
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  } finally {
    stop.abort();
  }
}

function withUrl(command: Command): Command {
  return command.addOption(
    new Option("--url <url>", "where the gateway serves HTTP")
      .env("X_GATEWAY_URL")
      .default("http://127.0.0.1:8080"),
  );
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
