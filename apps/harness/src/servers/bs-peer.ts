import { buildGoServer } from "./go-build.js";
import { bsPeerBuild } from "./go-servers.js";
import { type RunOptions, type RunResult, runProgram } from "./run-program.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";

/** What `bs-peer bench` prints; `servers/bs-peer/bench.go` says what is measured. */
export interface BsPeerFigures {
  readonly mode: string;
  readonly ops: number;
  readonly bytes: number;
  readonly seconds: number;
  /** Of the peer's process alone. */
  readonly cpuSeconds: number;
  readonly maxRssBytes: number;
  /** Of `replica-list`: it did not end in time. */
  readonly hung?: boolean;
  /** Of `replica-list`: how many it should have listed. */
  readonly refs?: number;
}

/**
 * Runs the program of `servers/bs-peer`: `runBsPeer(["list", "-dir", folder])`. It is built if it was not before. Its commands and flags are told in its
 * `main.go`. @throws HarnessError "request-failed", "missing-server", "build-failed"
 */
export async function runBsPeer(
  args: readonly string[],
  options: Omit<RunOptions, "args"> = {},
): Promise<RunResult> {
  const program = await buildGoServer(bsPeerBuild, { signal: options.signal });
  return runProgram(program, { ...options, args });
}

/** The same, and what it printed as JSON, one value a line. */
export async function askBsPeer<T = unknown>(
  args: readonly string[],
  options: Omit<RunOptions, "args"> = {},
): Promise<readonly T[]> {
  const { stdout } = await runBsPeer(args, options);
  const lines = stdout.toString("utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as T); // as the caller, who chose the command, knows
}

/** A real server of bobg/bs over gRPC. */
export class BsServer extends ServerProcess<"grpc"> {
  /** `127.0.0.1:PORT`. */
  get endpoint(): string {
    return `127.0.0.1:${this.ports.grpc}`;
  }
}

export interface BsServerOptions extends ServerOptions {
  /** Over its memory store, and not over its file store in `dataDir`. Default false. */
  readonly memory?: boolean;
}

/** @throws HarnessError "missing-server", "build-failed", "exited", "not-ready" */
export async function startBsServer(options: BsServerOptions = {}): Promise<BsServer> {
  const program = await buildGoServer(bsPeerBuild, { signal: options.signal });
  return new BsServer(bsKind(program, options.memory ?? false), options).start();
}

function bsKind(program: string, memory: boolean): ServerKind<"grpc"> {
  return {
    name: "bs-peer",
    ports: ["grpc"],
    command: async ({ ports, dataDir }) => ({
      file: program,
      args: ["serve", "-addr", `127.0.0.1:${ports.grpc}`, ...(memory ? ["-mem"] : ["-dir", dataDir])],
    }),
    // It says so itself, once it listens.
    isReady: async ({ ports, log }) => (await log()).includes(`"127.0.0.1:${ports.grpc}"`),
  };
}
