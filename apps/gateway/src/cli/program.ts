import { Command } from "commander";

export function program(): Command {
  return new Command("x-gateway")
    .description("A topic gateway: keyed, ordered messages that are durable before they are acknowledged.")
    .configureOutput({
      // One line, also where a hint follows.
      outputError: (text, write) => write(`${text.trimEnd().replaceAll("\n", " ")} (--help tells more)\n`),
    });
}
