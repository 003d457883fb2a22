import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HarnessError } from "./errors.js";
import { pickPorts } from "./ports.js";
import type {
  ControlSignal,
  Launch,
  ProgramCall,
  ServerKind,
  ServerOptions,
  TestScope,
} from "./server-kind.js";
import { type Exit, type Supervised, supervise } from "./supervise.js";
import { pause, poll } from "./wait.js";

const portTakenSentences = /address already in use|EADDRINUSE/i;
const startAttempts = 5;

/**
 * A real server in a process of its own, which ends with this process however that ends.
 *
 * Made by `startEtcd` and its like, ready when they return. Its lifetime is closed by `stop()` (or `await using`, or `test`):
 * then the folder with data and log is removed, unless the server had crashed or `keep` was called, which prints where it is.
 * Calls that start or stop are done one after the other, in the order they were made.
 */
export class ServerProcess<P extends string = string> implements AsyncDisposable {
  readonly name: string;
  readonly #kind: ServerKind<P>;
  readonly #options: ServerOptions;
  readonly #identity: string;
  #workDir = "";
  #ports: Readonly<Record<P, number>> | undefined;
  #process: Supervised | undefined;
  #call: ProgramCall | undefined;
  /** Where in the log the current launch begins, in bytes. */
  #logStart = 0;
  /** The current end was asked for, so it is no crash. */
  #endAsked = false;
  #kept = false;
  #stopped = false;
  #turn: Promise<unknown> = Promise.resolve();

  /** Starts nothing: `start` does. */
  constructor(kind: ServerKind<P>, options: ServerOptions = {}) {
    this.name = kind.name;
    this.#kind = kind;
    this.#options = options;
    this.#identity = `${kind.name}-${randomUUID()}`;
  }

  /** The program's process id, of the latest launch. */
  get pid(): number {
    return this.#current().pid;
  }

  /** Resolves when the latest launch has ended; never rejects. */
  get exited(): Promise<Exit> {
    return this.#current().exited;
  }

  /** False from the moment the process is seen to be gone; a stopped (SIGSTOP) process runs. */
  get running(): boolean {
    return this.#process !== undefined && this.#process.exit === undefined;
  }

  get ports(): Readonly<Record<P, number>> {
    if (this.#ports === undefined) throw this.#notStarted();
    return this.#ports;
  }

  get dataDir(): string {
    return this.#options.dataDir ?? join(this.#workDir, "data");
  }

  /** Stdout and stderr of all launches, appended. */
  get logPath(): string {
    return join(this.#workDir, `${this.name}.log`);
  }

  /** The program and its arguments, as benchmarks print them. */
  get commandLine(): readonly string[] {
    if (this.#call === undefined) throw this.#notStarted();
    return [this.#call.file, ...this.#call.args];
  }

  /** What the current launch has logged so far. */
  async log(): Promise<string> {
    const bytes = await readFile(this.logPath);
    return bytes.subarray(this.#logStart).toString("utf8");
  }

  /**
   * The first whole line of the current launch's log that matches, as soon as it is there.
   * @throws HarnessError "exited" if the process ends without it, "not-ready" after `withinMs` (default 30,000)
   */
  async waitForLine(
    pattern: RegExp,
    options: { readonly withinMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<RegExpExecArray> {
    const process = this.#current();
    const withinMs = options.withinMs ?? 30_000;
    const { answer } = await poll(
      async () => {
        const ended = process.exit !== undefined; // looked at before the log: what it said last counts
        const match = findLine(await this.log(), pattern);
        if (match !== undefined || !ended) return match;
        return new HarnessError("exited", await this.#report(`ended without a line like ${pattern}`));
      },
      { withinMs, signal: options.signal },
    );
    if (answer instanceof HarnessError) throw answer;
    if (answer !== undefined) return answer;
    throw new HarnessError(
      "not-ready",
      await this.#report(`logged no line like ${pattern} within ${withinMs} ms`),
    );
  }

  /** Done once, by the functions that make servers. @throws HarnessError "exited", "not-ready", "missing-server", "build-failed" */
  start(): Promise<this> {
    return this.#inTurn(async () => {
      this.#workDir = await mkdtemp(join(tmpdir(), `x-harness-${this.name}-`));
      this.#options.test?.onTestFinished(() => this.#endWithTest());
      const signal = this.#options.signal;
      for (let attempt = 1; ; attempt++) {
        try {
          const ports = await (this.#options.pickPorts ?? pickPorts)(this.#kind.ports.length);
          const named = this.#kind.ports.map((name, index) => [name, ports[index]]);
          this.#ports = Object.fromEntries(named) as Record<P, number>; // one for each of kind.ports
          await this.#launch(signal);
          return this;
        } catch (error) {
          await this.#kill();
          if (error instanceof PortTaken && attempt < startAttempts) continue;
          this.#stopped = true;
          // A start that the caller took back, or that could not even be tried, leaves nothing worth keeping.
          const worthKeeping = signal?.aborted !== true && this.#process !== undefined;
          if (!worthKeeping) await this.#removeFolder();
          throw error;
        }
      }
    });
  }

  /**
   * Sends a signal. SIGKILL resolves when the process is gone and its ports are free, SIGSTOP when it stands still,
   * the others at once (`exited` tells the end after SIGTERM). A process that has already ended is fine.
   */
  async kill(signal: ControlSignal): Promise<void> {
    const process = this.#current();
    if (signal === "SIGKILL" || signal === "SIGTERM") this.#endAsked ||= process.exit === undefined;
    process.send(signal);
    if (signal === "SIGKILL") await process.exited;
    if (signal === "SIGSTOP") await standsStill(process);
  }

  /**
   * Stops it if it still runs (SIGTERM, SIGKILL when that takes too long) and starts it again on the same ports and data.
   * @throws HarnessError "stopped" after `stop`, and what a first start throws
   */
  restart(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#inTurn(async () => {
      await this.#end();
      await this.#launch(options.signal);
    });
  }

  /** Like `restart`, but with an empty data folder: what clients see when somebody loses or replaces a database. */
  wipe(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#inTurn(async () => {
      await this.#end();
      for (const name of await readdir(this.dataDir))
        await rm(join(this.dataDir, name), { recursive: true, force: true });
      await this.#launch(options.signal);
    });
  }

  /** Keeps the folder when the server stops, and says on stderr why, where it is, and how the log ends. */
  async keep(why: string): Promise<void> {
    if (this.#kept || this.#stopped) return;
    this.#kept = true;
    process.stderr.write(`${await this.#report(why)}\n`);
  }

  /** For servers that many tests share, in a `beforeEach`: keeps the folder if this test fails. */
  keepIfFails(test: TestScope): void {
    test.onTestFinished(async () => {
      if (hasFailed(test)) await this.keep(`was in use when "${test.task.name}" failed`);
    });
  }

  /** The end: SIGTERM, after `stopWithinMs` SIGKILL, and the folder is removed. More than one call is fine. */
  stop(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return this.#inTurn(async () => {
      const exit = this.#process?.exit;
      if (exit !== undefined && !this.#endAsked && exit.code !== 0) {
        await this.keep(`had ended by itself (${exit.signal ?? exit.code})`);
      }
      await this.#end();
      this.#stopped = true;
      if (!this.#kept) await this.#removeFolder();
    }, "even when stopped");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #launch(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    await mkdir(this.dataDir, { recursive: true });
    const launch: Launch<P> = {
      ports: this.ports,
      dataDir: this.dataDir,
      workDir: this.#workDir,
      identity: this.#identity,
    };
    const call = await this.#kind.command(launch, signal);
    this.#call = call;
    this.#logStart = await stat(this.logPath).then(
      (log) => log.size,
      () => 0,
    );
    this.#endAsked = false;
    const started = await supervise(call.file, {
      args: call.args,
      cwd: call.cwd,
      env: call.env,
      logPath: this.logPath,
    });
    this.#process = started;
    const launched = { ...launch, pid: started.pid, log: () => this.log() };
    const withinMs = this.#options.readyWithinMs ?? 60_000;
    try {
      const { answer, cause } = await poll(
        async (within) => {
          if (started.exit !== undefined) return "exited";
          return (await this.#kind.isReady(launched, within)) && started.exit === undefined
            ? "ready"
            : undefined;
        },
        { withinMs, signal },
      );
      if (answer === "ready") return;
      if (answer === "exited") {
        const { code, signal: killedBy } = await started.exited;
        const why = await this.#report(`ended (${killedBy ?? code}) before it was ready`);
        const portTaken = (this.#kind.portTaken ?? portTakenSentences).test(await this.log());
        throw new (portTaken && this.#kind.ports.length > 0 ? PortTaken : HarnessError)("exited", why);
      }
      throw new HarnessError("not-ready", await this.#report(`was not ready within ${withinMs} ms`), {
        cause,
      });
    } catch (error) {
      await this.#kill();
      throw error;
    }
  }

  /** SIGTERM and, should that not do, SIGKILL. */
  async #end(): Promise<void> {
    const process = this.#process;
    if (process === undefined || process.exit !== undefined) return;
    this.#endAsked = true;
    process.send("SIGTERM");
    process.send("SIGCONT"); // a process that stands still would not hear of it
    const giveUp = new AbortController();
    const late = pause(this.#options.stopWithinMs ?? 5_000, giveUp.signal).catch(() => {});
    await Promise.race([process.exited, late]);
    giveUp.abort();
    await this.#kill();
  }

  async #kill(): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    this.#endAsked ||= process.exit === undefined;
    process.send("SIGKILL");
    await process.exited;
  }

  async #endWithTest(): Promise<void> {
    const { test } = this.#options;
    if (test !== undefined && hasFailed(test))
      await this.keep(`belongs to "${test.task.name}", which failed`);
    await this.stop();
  }

  async #removeFolder(): Promise<void> {
    await rm(this.#workDir, { recursive: true, force: true });
  }

  async #report(what: string): Promise<string> {
    const log = await this.log().catch(() => "");
    const end = log.trimEnd().split("\n").slice(-25).join("\n");
    return `${this.name} ${what}; its log is ${this.logPath}${end === "" ? " (empty)" : `, which ends with:\n${end}`}`;
  }

  #inTurn<T>(work: () => Promise<T>, evenWhenStopped?: "even when stopped"): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#stopped && evenWhenStopped === undefined)
        throw new HarnessError("stopped", `${this.name} was stopped for good`);
      return work();
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  #current(): Supervised {
    if (this.#process === undefined) throw this.#notStarted();
    return this.#process;
  }

  #notStarted(): HarnessError {
    return new HarnessError("stopped", `${this.name} was never started`);
  }
}

/** Somebody took a port between the pick and the bind. Only `start` tells it apart, to pick others. */
class PortTaken extends HarnessError {}

/** The first whole line that matches. */
export function findLine(log: string, pattern: RegExp): RegExpExecArray | undefined {
  for (const line of log.split("\n").slice(0, -1)) {
    const match = new RegExp(pattern, pattern.flags.replace(/[gy]/g, "")).exec(line);
    if (match !== null) return match;
  }
  return undefined;
}

function hasFailed(test: TestScope): boolean {
  return test.task.result?.state === "fail";
}

/** A signal is sent at once but acted on a moment later; /proc tells when. Without /proc: at once is the best there is. */
async function standsStill(process: Supervised): Promise<void> {
  await poll(
    async () => {
      if (process.exit !== undefined) return true;
      const line = await readFile(`/proc/${process.pid}/stat`, "utf8").catch(() => ") T");
      return line.slice(line.lastIndexOf(")") + 2).startsWith("T") ? true : undefined;
    },
    { withinMs: 5_000, everyMs: 1 },
  );
}
