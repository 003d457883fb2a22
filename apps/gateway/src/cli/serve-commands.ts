import type { Command } from "commander";
import { type ServeConfig, type ServeFlags, serveOptions, toServeConfig } from "../config.js";
import { describeError, stderrLog } from "../log.js";
import { loadSample } from "../sample.js";
import { type Served, serve } from "../serve.js";

export function addServeCommands(program: Command): void {
  const run = program
    .command("serve")
    .description("serve topics: by default a gateway, three buffers and coordination in one process");
  for (const option of serveOptions()) run.addOption(option);
  run.option("--verbose", "tell everything on stderr");
  run.action(async (flags: ServeFlags & { verbose?: boolean }) => {
    await untilStopped(toServeConfig(flags), flags.verbose === true, async () => {});
  });

  const demo = program
    .command("demo")
    .description("serve with real data: 171,075 cities, if the store is empty");
  for (const option of serveOptions()) demo.addOption(option);
  demo.option("--no-sample", "do not load the cities").option("--verbose", "tell everything on stderr");
  demo.action(async (flags: ServeFlags & { sample: boolean; verbose?: boolean }) => {
    await untilStopped(toServeConfig(flags), flags.verbose === true, async (served, signal) => {
      if (flags.sample && served.client)
        await loadSample(served.client, {
          http: served.http,
          signal,
          tell: (line) => process.stderr.write(`${line}\n`),
        });
    });
  });
}

async function untilStopped(
  config: ServeConfig,
  verbose: boolean,
  whenReady: (served: Served, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const log = stderrLog(verbose);
  const stop = new AbortController();
  const stopped = new Promise<string>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve(name));
  });
  const served = await serve(config, log);
  // Package managers in between do not pass signals on: whoever wants to stop this process needs its id.
  process.stdout.write(`READY http=http://${served.http} grpc=${served.grpc} pid=${process.pid}\n`);
  const work = whenReady(served, stop.signal).catch((error) => {
    if (!stop.signal.aborted) log.error("loading the sample failed", error);
  });
  try {
    const signal = await Promise.race([stopped, served.failed]);
    log.info(`${signal}: stopping`);
  } catch (error) {
    log.error("the process can't go on", error);
    process.exitCode = 1;
  }
  stop.abort(new Error("the process is stopping"));
  await work;
  try {
    await served.close();
  } catch (error) {
    process.stderr.write(`error while stopping: ${describeError(error)}\n`);
    process.exitCode = 1;
  }
}
