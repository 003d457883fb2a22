/** `serve` and `demo`: a process that prints one READY line when it is usable, and stops cleanly when it is told to. */
import { type Command, InvalidArgumentError } from "commander";
import { type ServeConfig, type ServeFlags, serveOptions, toServeConfig } from "../config.js";
import { type Log, stderrLog } from "../log.js";
import type { Served } from "../serve.js";

/** A supervisor waits 5 s before it kills. Whatever hangs must not make it. */
const STOP_WITHIN_MS = 4_500;
const TELL_WAITING_MS = 3_000;

export function addServeCommands(program: Command): void {
  const run = program
    .command("serve")
    .description("serve topics: by default a gateway, three buffers and coordination in one process");
  for (const option of serveOptions()) run.addOption(option);
  run.option("--verbose", "tell everything on stderr");
  run.action(async (flags: ServeFlags & { verbose?: boolean }, command: Command) => {
    const config = checked(flags, command);
    await untilStopped(config, stderrLog(flags.verbose === true), async () => {});
  });

  const demo = program
    .command("demo")
    .description("serve with real data: 171,075 cities, if the store is empty");
  for (const option of serveOptions()) demo.addOption(option);
  demo.option("--no-sample", "do not load the cities").option("--verbose", "tell everything on stderr");
  demo.action(async (flags: ServeFlags & { sample: boolean; verbose?: boolean }, command: Command) => {
    const config = checked(flags, command);
    await untilStopped(config, stderrLog(flags.verbose === true), async ({ client, http }, signal) => {
      if (!client) return;
      const { tellAndLoadSample } = await import("../sample.js");
      const { dataDirectory } = config;
      const tell = (line: string): void => void process.stderr.write(`${line}\n`);
      await tellAndLoadSample(client, { http, dataDirectory, load: flags.sample, signal, tell });
    });
  });
}

function checked(flags: ServeFlags, command: Command): ServeConfig {
  try {
    return toServeConfig(flags);
  } catch (error) {
    if (error instanceof InvalidArgumentError) command.error(`error: ${error.message}`);
    throw error;
  }
}

async function untilStopped(
  config: ServeConfig,
  log: Log,
  whenReady: (served: Served, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const stopped = new Promise<undefined>((resolve) => {
    const onSignal = (name: NodeJS.Signals): void => {
      log.info(`${name}: stopping`);
      setTimeout(() => {
        log.error(
          `stopping took more than ${STOP_WITHIN_MS / 1000} s: exiting as it is, nothing acknowledged is lost by it`,
        );
        process.exit(1);
      }, STOP_WITHIN_MS).unref();
      stop.abort(new Error("the process is stopping"));
      resolve(undefined);
    };
    // Once: a second Ctrl-C ends it at once, as everywhere.
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => onSignal(name));
  });

  // Waiting for a store that does not answer must not end the process for want of anything else to do.
  const alive = setInterval(() => log.info(waitingFor(config)), TELL_WAITING_MS);
  // Loaded here, so that commands which only ask a gateway do not wait for all of a gateway to be loaded.
  const starting = import("../serve.js").then(({ serve }) => serve(config, log, stop.signal));
  const served = await Promise.race([starting, stopped]).finally(() => clearInterval(alive));
  if (!served) {
    await starting.then(
      (late) => late.close(),
      () => {},
    );
    return;
  }
  // Package managers in between do not pass signals on: whoever wants to stop this process needs its id.
  process.stdout.write(`READY http=http://${served.http} grpc=${served.grpc} pid=${process.pid}\n`);
  const work = whenReady(served, stop.signal).catch((error) => {
    if (!stop.signal.aborted) log.error("loading the sample failed", error);
  });
  try {
    await Promise.race([stopped, served.failed]);
  } catch (error) {
    log.error("the process can't go on", error);
    process.exitCode = 1;
    stop.abort(error);
  }
  await work;
  try {
    await served.close();
  } catch (error) {
    log.error("stopping was not clean", error);
    process.exitCode = 1;
  }
}

function waitingFor({ etcd }: ServeConfig): string {
  return etcd.length > 0
    ? `waiting for etcd at ${etcd.join(", ")}`
    : "still starting: the store is being read";
}
