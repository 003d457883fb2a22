import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Answer, Command, Reply } from "./commands.js";
import type { SystemAddress } from "./drivers.js";

const program = fileURLToPath(new URL("./client-main.js", import.meta.url));
/** What is slower than this hangs. The longest load has its own time on top. */
const PATIENCE_MS = 30_000;

/** One client process, driven from here. It does one thing at a time. */
export class ClientProcess implements AsyncDisposable {
  readonly name: string;
  readonly #child: ChildProcess;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
  }

  static async open(
    name: string,
    system: SystemAddress,
    options: { readonly nodeArgs?: readonly string[]; readonly signal: AbortSignal },
  ): Promise<ClientProcess> {
    const child = fork(program, {
      execArgv: [...(options.nodeArgs ?? [])],
      // Whatever a client library prints is not the result.
      stdio: ["ignore", 2, 2, "ipc"],
    });
    const client = new ClientProcess(name, child);
    try {
      await client.ask({ type: "open", system }, options);
      return client;
    } catch (error) {
      await client.#kill();
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  async ask(
    command: Command,
    options: { readonly signal?: AbortSignal; readonly withinMs?: number } = {},
  ): Promise<Answer> {
    const { signal, withinMs = 0 } = options;
    signal?.throwIfAborted();
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`the ${this.name} client has ended`);
    const settled = new AbortController();
    const timeout = AbortSignal.timeout(withinMs + PATIENCE_MS);
    const stop = AbortSignal.any([settled.signal, timeout, ...(signal ? [signal] : [])]);
    try {
      const answered = once(child, "message", { signal: stop });
      const ended = once(child, "exit", { signal: stop }).then(([code, killedBy]) => {
        throw new Error(`the ${this.name} client ended (${killedBy ?? code}) during "${command.type}"`);
      });
      ended.catch(() => {});
      child.send(command);
      const [reply] = (await Promise.race([answered, ended])) as [Reply];
      if ("error" in reply)
        throw new Error(`the ${this.name} client failed in "${command.type}": ${reply.error}`);
      return reply.answer;
    } catch (error) {
      signal?.throwIfAborted();
      // What it does now would disturb the measurement of others.
      if (timeout.aborted) {
        await this.#kill();
        throw new Error(`the ${this.name} client did not finish "${command.type}" in time`, { cause: error });
      }
      throw error;
    } finally {
      settled.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit", { signal: AbortSignal.timeout(5_000) });
    exited.catch(() => {});
    if (this.#child.connected) this.#child.send({ type: "close" } satisfies Command);
    await exited.catch(() => this.#kill());
  }

  async #kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}
