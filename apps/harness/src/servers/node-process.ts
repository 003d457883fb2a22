import { findLine, ServerProcess } from "./server.js";
import type { Launch, ServerKind, ServerOptions } from "./server-kind.js";

export interface ProcessOptions<P extends string> extends ServerOptions {
  /** The line that says it is ready; the program prints it once per start. */
  readonly ready: RegExp;
  /** Arguments of the script, or how to make them from the ports and folders. Default none. */
  readonly args?: readonly string[] | ((launch: Launch<P>) => readonly string[]);
  /** Names for loopback ports to pick, for programs that must come back on the same ones. Default none. */
  readonly ports?: readonly P[];
  /** In messages and of the log file. Default "process". */
  readonly name?: string;
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Flags of Node itself. Default none. */
  readonly nodeArgs?: readonly string[];
  /** Which Node. Default: the one that runs this. */
  readonly node?: string;
}

/** A Node program of ours in a process of its own. */
export class NodeProcess<P extends string = never> extends ServerProcess<P> {
  readonly #ready: RegExp;

  constructor(kind: ServerKind<P>, options: ProcessOptions<P>) {
    super(kind, options);
    this.#ready = options.ready;
  }

  /** The latest launch's ready line, as `ready` matched it. */
  async ready(): Promise<RegExpExecArray> {
    return this.waitForLine(this.#ready);
  }
}

/**
 * Runs `node <script> <args>` and returns once a whole line of its output matches `ready`.
 * @throws HarnessError "exited", "not-ready"
 */
export async function startProcess<P extends string = never>(
  script: string,
  options: ProcessOptions<P>,
): Promise<NodeProcess<P>> {
  const kind: ServerKind<P> = {
    name: options.name ?? "process",
    ports: options.ports ?? [],
    command: async (launch) => {
      const args = typeof options.args === "function" ? options.args(launch) : (options.args ?? []);
      return {
        file: options.node ?? process.execPath,
        args: [...(options.nodeArgs ?? []), script, ...args],
        cwd: options.cwd,
        env: { ...process.env, ...options.env },
      };
    },
    isReady: async ({ log }) => findLine(await log(), options.ready) !== undefined,
  };
  return new NodeProcess(kind, options).start();
}
