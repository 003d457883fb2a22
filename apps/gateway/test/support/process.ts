/** The built program, as a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { type NodeProcess, type ProcessOptions, startProcess } from "../../../harness/src/servers/index.js";

const main = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

export const READY = /^READY http=(http:\/\/127\.0\.0\.1:\d+) grpc=(127\.0\.0\.1:\d+) pid=(\d+)$/;

export interface GatewayProcess extends AsyncDisposable {
  readonly process: NodeProcess<"http" | "grpc">;
  /** The same after a restart, as the ports are. */
  readonly url: string;
  readonly grpc: string;
}

/** `serve` and more flags, on ports and a folder of its own that it keeps when it is restarted. */
export async function startGatewayProcess(
  options: Partial<Omit<ProcessOptions<"http" | "grpc">, "args">> & {
    readonly command?: "serve" | "demo";
    readonly flags?: readonly string[];
    /** Default: the folder that the harness makes for the process. */
    readonly data?: string;
  } = {},
): Promise<GatewayProcess> {
  const { command = "serve", flags = [], data, ...rest } = options;
  const process = await startProcess(main, {
    name: "gateway",
    ready: READY,
    ports: ["http", "grpc"],
    args: ({ ports, dataDir }) => [
      command,
      "--http",
      `127.0.0.1:${ports.http}`,
      "--grpc",
      `127.0.0.1:${ports.grpc}`,
      "--data",
      data ?? dataDir,
      ...flags,
    ],
    ...rest,
  });
  return {
    process,
    url: `http://127.0.0.1:${process.ports.http}`,
    grpc: `127.0.0.1:${process.ports.grpc}`,
    [Symbol.asyncDispose]: () => process.stop(),
  };
}

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  /** What it has printed so far. */
  readonly output: { stdout: string; stderr: string };
  /** Resolves when its stdout has such a line. Rejects when it ends before. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  write(text: string): void;
  endInput(): void;
  kill(signal: NodeJS.Signals): void;
  /** Closes the reading end of its stdout, as `head` does. */
  closeStdout(): void;
  readonly ended: Promise<Ran>;
}

/** A command of the program with its three streams apart. It is killed after 25 s, since no test lasts longer. */
export function launch(
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Running {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    timeout: 25_000,
    killSignal: "SIGKILL",
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    output.stderr += text;
  });
  // A program that ended does not read what is written to it.
  child.stdin.on("error", () => {});
  const ended = once(child, "close").then(([code, signal]): Ran => ({ code, signal, ...output }));
  return {
    pid: child.pid as number,
    output,
    ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = output.stdout
            .split("\n")
            .slice(0, -1)
            .map((line) => pattern.exec(line))
            .find((found) => found !== null);
          if (match) resolve(match);
        };
        child.stdout.on("data", look);
        ended.then((ran) =>
          reject(new Error(`it ended without a line like ${pattern}: ${JSON.stringify(ran)}`)),
        );
        look();
      }),
    write: (text) => void child.stdin.write(text),
    endInput: () => void child.stdin.end(),
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout.destroy(),
  };
}

/** Runs a command to its end. */
export function run(
  args: readonly string[],
  options: {
    readonly input?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
  } = {},
): Promise<Ran> {
  const running = launch(args, options);
  if (options.input !== undefined) running.write(options.input);
  running.endInput();
  return running.ended;
}
