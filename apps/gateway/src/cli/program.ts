import { Command } from "commander";

export function program(): Command {
  return new Command("x-gateway")
    .description("A topic gateway: keyed, ordered messages that are durable before they are acknowledged.")
    .showHelpAfterError("(--help tells more)");
}
