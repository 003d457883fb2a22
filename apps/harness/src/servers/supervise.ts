import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";

/** How a process ended: by itself with a code, or by a signal. Both undefined: nobody was there to see it. */
export interface Exit {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface Supervised {
  /** The program's own process id, not the supervisor's. */
  readonly pid: number;
  /** How it ended, undefined while it runs (a stopped process runs). */
  readonly exit: Exit | undefined;
  /** Resolves once the program is gone and its ports are free; never rejects. */
  readonly exited: Promise<Exit>;
  /** Sends a signal to the program; false if it had already ended. */
  send(signal: NodeJS.Signals): boolean;
}

export interface SuperviseOptions {
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Gets stdout and stderr, appended. A file and not a pipe: a runner that is busy or dead must not block the program. */
  readonly logPath: string;
}

/**
 * The supervisor: a shell, in a process group of its own, that is the parent of the program. Its stdin is the lifeline,
 * a pipe on which the runner never writes and which the kernel closes when the runner dies, however it dies. Then the
 * whole group is killed, also what the program started. The watcher starts before the program, so there is no moment
 * at which a program runs unwatched. Fd 3 reports "pid N" and "exit N" (128 + n for signal n).
 *
 * A shell rather than a Node process: about 1 MB instead of 45, and no start-up time, on machines where servers are measured.
 */
const SUPERVISOR = `
exec 4<&0 </dev/null
{ while read -r _ <&4; do :; done; kill -KILL 0; } 3>&- &
watcher=$!
"$@" </dev/null 3>&- 4<&- &
pid=$!
exec 4<&-
echo "pid $pid" >&3
wait "$pid"
echo "exit $?" >&3
kill -KILL "$watcher"
wait "$watcher" 2>/dev/null
kill -KILL 0
`;

/**
 * Starts a program that cannot outlive this process. Every other program of the harness is started through this.
 * SIGINT and SIGQUIT are ignored in the program unless it handles them (a POSIX shell does so for background jobs).
 * @throws the spawn error when there is no /bin/sh or `cwd`. A `file` that is missing is an exit with code 127 and a line in the log
 */
export async function supervise(file: string, options: SuperviseOptions): Promise<Supervised> {
  const log = openSync(options.logPath, "a");
  try {
    const shell = spawn("/bin/sh", ["-c", SUPERVISOR, "supervisor", file, ...(options.args ?? [])], {
      detached: true,
      stdio: ["pipe", log, log, "pipe"],
      cwd: options.cwd,
      env: options.env ?? process.env,
    });
    const lifeline = shell.stdin as Writable; // stdio[0] is "pipe"
    const report = shell.stdio[3] as Readable; // stdio[3] is "pipe"
    lifeline.on("error", () => {}); // EPIPE after the shell's end, which "close" tells
    holdLifeline(lifeline);

    let exit: Exit | undefined;
    let started: (pid: number) => void = () => {};
    const pidKnown = new Promise<number>((resolve) => {
      started = resolve;
    });
    let text = "";
    report.setEncoding("utf8");
    report.on("error", () => {});
    report.on("data", (part: string) => {
      text += part;
      const pid = /^pid (\d+)$/m.exec(text)?.[1];
      if (pid !== undefined) started(Number(pid));
      const status = /^exit (\d+)$/m.exec(text)?.[1];
      if (status !== undefined) exit ??= toExit(Number(status));
    });
    const exited = new Promise<Exit>((resolve, reject) => {
      shell.once("error", reject);
      shell.once("close", () => {
        dropLifeline(lifeline);
        // Somebody else killed the shell: what it watched must not stay.
        if (exit === undefined && shell.pid !== undefined) tryKill(-shell.pid, "SIGKILL");
        exit ??= { code: undefined, signal: undefined };
        resolve(exit);
      });
    });
    const pid = await Promise.race([pidKnown, exited.then(() => undefined)]);
    if (pid === undefined) throw new Error(`the supervisor of ${file} ended before it started it`);
    return {
      pid,
      exited,
      get exit(): Exit | undefined {
        return exit;
      },
      send: (signal) => exit === undefined && tryKill(pid, signal),
    };
  } finally {
    closeSync(log);
  }
}

/**
 * The lifelines of this process. A module-wide set, so that there is one `disconnect` listener and not one per program:
 * a forked runner (a test worker) whose parent is SIGKILLed lives on, orphaned, if its tests hang; the closed channel is all it notices.
 */
const lifelines = new Set<Writable>();

function holdLifeline(lifeline: Writable): void {
  if (lifelines.size === 0 && process.connected === true) process.once("disconnect", cutLifelines);
  lifelines.add(lifeline);
}

function dropLifeline(lifeline: Writable): void {
  lifelines.delete(lifeline);
  // The listener keeps the channel, and with it the process, alive.
  if (lifelines.size === 0) process.off("disconnect", cutLifelines);
}

function cutLifelines(): void {
  for (const lifeline of lifelines) lifeline.destroy();
}

function toExit(status: number): Exit {
  const number = status - 128;
  const signal = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  if (status <= 128 || signal === undefined) return { code: status, signal: undefined };
  return { code: undefined, signal: signal as NodeJS.Signals }; // a key of os.constants.signals
}

function tryKill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
