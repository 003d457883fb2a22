import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HarnessError } from "./errors.js";
import { tail } from "./go-build.js";
import { supervise } from "./supervise.js";

export interface RunOptions {
  readonly args?: readonly string[];
  /** What the program reads on its stdin. Default: nothing. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A code other than 0 is an answer and no error. Default false. */
  readonly mayFail?: boolean;
  /** Ends the program with SIGKILL. */
  readonly signal?: AbortSignal;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The program's output goes to files: a pipe would hold up a program whose reader is busy, and its figures with it. */
const redirect = 'exec "$@" <"$X_HARNESS_RUN/in" >"$X_HARNESS_RUN/out" 2>"$X_HARNESS_RUN/err"';

/**
 * Runs a program to its end; it ends with this process too. All that it writes is read into memory.
 * @throws HarnessError "request-failed" with the end of its stderr, when it ends with another code than 0 and may not
 */
export async function runProgram(file: string, options: RunOptions = {}): Promise<RunResult> {
  const { signal } = options;
  signal?.throwIfAborted();
  const folder = await mkdtemp(join(tmpdir(), "x-harness-run-"));
  try {
    await writeFile(join(folder, "in"), options.input ?? "");
    const program = await supervise("/bin/sh", {
      args: ["-c", redirect, "run", file, ...(options.args ?? [])],
      cwd: options.cwd ?? folder,
      env: { ...(options.env ?? process.env), X_HARNESS_RUN: folder },
      logPath: join(folder, "log"),
    });
    const onAbort = (): boolean => program.send("SIGKILL");
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    const exit = await program.exited.finally(() => signal?.removeEventListener("abort", onAbort));
    signal?.throwIfAborted();
    const [stdout, stderr] = await Promise.all([
      readFile(join(folder, "out")),
      readFile(join(folder, "err"), "utf8"),
    ]);
    if (exit.code !== 0 && (options.mayFail !== true || exit.code === undefined)) {
      const call = [file, ...(options.args ?? [])].join(" ");
      throw new HarnessError(
        "request-failed",
        `${call} ended with ${exit.code ?? exit.signal}: ${tail(stderr, 20)}`,
      );
    }
    return { code: exit.code ?? 0, stdout, stderr };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
