/** Commands that speak with a running gateway over its HTTP interface. */
import { type Command, Option } from "commander";
import { count } from "../config-values.js";
import { append } from "./append-command.js";
import { GatewayHttp } from "./gateway-http.js";
import { print, surviveClosedStdout } from "./output.js";
import { type TailFlags, tail } from "./tail-command.js";

interface Target {
  readonly url: string;
}

export function addClientCommands(program: Command): void {
  const topic = program.command("topic").description("create, list and describe topics");
  withUrl(topic.command("create <name>").description("create a topic"))
    .option("--range-size-factor <n>", "hash ranges have 2^n hashes, n from 6 to 16", count(6, 16))
    .action(async (name: string, { url, rangeSizeFactor }: Target & { rangeSizeFactor?: number }) => {
      const body = { name, ...(rangeSizeFactor !== undefined && { rangeSizeFactor }) };
      await print(await new GatewayHttp(url).post("/v1/topics", body));
    });
  withUrl(topic.command("list").description("print the topics")).action(async ({ url }: Target) => {
    const { topics } = (await new GatewayHttp(url).get("/v1/topics")) as { topics: unknown[] };
    await print(...topics);
  });
  withUrl(
    topic.command("describe <name>").description("print a topic's ranges, segments and subscriptions"),
  ).action(async (name: string, { url }: Target) => {
    await print(await new GatewayHttp(url).get(topicPath(name)));
  });

  const subscription = program.command("subscription").description("create and list subscriptions");
  withUrl(subscription.command("create <topic> <name>").description("create a subscription"))
    .addOption(
      new Option("--mode <mode>", "where to start").choices(["earliest", "latest"]).default("earliest"),
    )
    .action(async (topicName: string, name: string, { url, mode }: Target & { mode: string }) => {
      await print(await new GatewayHttp(url).post(`${topicPath(topicName)}/subscriptions`, { name, mode }));
    });
  withUrl(subscription.command("list <topic>").description("print a topic's subscriptions")).action(
    async (topicName: string, { url }: Target) => {
      const answer = await new GatewayHttp(url).get(`${topicPath(topicName)}/subscriptions`);
      await print(...(answer as { subscriptions: unknown[] }).subscriptions);
    },
  );

  withUrl(program.command("append <topic>"))
    .description(
      `append messages from stdin: NDJSON {"key","data"}, or with --key every line as the data of one message; prints their ids`,
    )
    .option("--key <key>", "the key of every line")
    .action((topicName: string, { url, ...flags }: Target & { key?: string }) =>
      append(new GatewayHttp(url), topicName, flags),
    );
  withUrl(program.command("tail <topic>"))
    .description(
      "print messages as NDJSON: live ones, or with --subscription all of a subscription's, committed when printed",
    )
    .option("--subscription <name>", "read this subscription")
    .option("--consumer <name>", "as this consumer", `cli-${process.pid}`)
    .option("--max <n>", "stop after so many", count(1, 2 ** 40))
    .action((topicName: string, { url, ...flags }: Target & TailFlags) =>
      tail(new GatewayHttp(url), topicName, flags),
    );
}

function topicPath(name: string): string {
  return `/v1/topics/${encodeURIComponent(name)}`;
}

function withUrl(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", "where the gateway serves HTTP")
        .env("X_GATEWAY_URL")
        .default("http://127.0.0.1:8080"),
    )
    .hook("preAction", surviveClosedStdout);
}
