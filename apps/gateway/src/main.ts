#!/usr/bin/env node
import { addClientCommands } from "./cli/client-commands.js";
import { isClosedStdout } from "./cli/output.js";
import { program } from "./cli/program.js";
import { addServeCommands } from "./cli/serve-commands.js";
import { describeError } from "./log.js";

// Package managers that pass arguments through may leave an extra `--` in front of them.
const args = process.argv.slice(2).filter((arg, i, all) => !(arg === "--" && all.indexOf("--") === i));
const commands = program();
addServeCommands(commands);
addClientCommands(commands);
try {
  await commands.parseAsync(args, { from: "user" });
} catch (error) {
  if (!isClosedStdout(error)) {
    process.stderr.write(`error: ${describeError(error)}\n`);
    process.exitCode = 1;
  }
}
