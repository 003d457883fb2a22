import { resolve } from "node:path";
import { HarnessError } from "./errors.js";
import type { GazetteTls } from "./gazette-broker.js";
import { buildGoServer } from "./go-build.js";
import { gazettePeerBuild } from "./go-servers.js";
import { type RunOptions, type RunResult, runProgram } from "./run-program.js";

export interface GazettePeerOptions extends Omit<RunOptions, "args"> {
  /** The broker to talk to, or a cluster: its first broker. `uuid` needs none. */
  readonly gazette?: {
    readonly endpoint: string;
    readonly authKeys?: string | undefined;
    readonly tls?: GazetteTls | undefined;
  };
}

/** What `gazette-peer bench` prints; `servers/gazette-peer/bench.go` says what is measured. */
export interface GazettePeerFigures {
  readonly mode: string;
  readonly ops: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the peer's process alone. */
  readonly cpuSeconds: number;
  readonly maxRssBytes: number;
  /** Of the mode `fragments`: how many of the bytes were read by URLs. The rest was not persisted, or not known to be. */
  readonly directBytes?: number;
  /** With `-sum`. */
  readonly sha256?: string;
}

/**
 * Runs the program of `servers/gazette-peer`: `runGazettePeer(["read", "-journal", "a/b"], { gazette })`. It is built if it was not before.
 * Its commands and flags are told in its `main.go`. @throws HarnessError "request-failed", "missing-server", "build-failed"
 */
export async function runGazettePeer(
  args: readonly string[],
  options: GazettePeerOptions = {},
): Promise<RunResult> {
  const { gazette, ...rest } = options;
  const program = await buildGoServer(gazettePeerBuild, { signal: options.signal });
  const connection = gazette === undefined ? [] : ["-endpoint", gazette.endpoint];
  const auth = gazette?.authKeys === undefined ? [] : ["-auth-keys", gazette.authKeys];
  const tls = gazette?.tls;
  const trust = tls === undefined ? [] : ["-ca", tls.caFile];
  const own = tls?.clientCertificates === true ? ["-cert", tls.certFile, "-key", tls.keyFile] : [];
  return runProgram(program, { ...rest, args: [...args, ...connection, ...auth, ...trust, ...own] });
}

/** Makes an authority and a certificate for 127.0.0.1 and localhost, good for a day, as files in a folder. @throws as `runGazettePeer` */
export async function makeCertificates(folder: string): Promise<GazetteTls> {
  const [files] = await askGazettePeer<GazetteTls>(["cert", "-dir", resolve(folder)]);
  if (files === undefined) throw new HarnessError("request-failed", "gazette-peer cert printed nothing");
  return files;
}

/** The same, and what it printed as JSON, one value a line. */
export async function askGazettePeer<T = unknown>(
  args: readonly string[],
  options: GazettePeerOptions = {},
): Promise<readonly T[]> {
  const { stdout } = await runGazettePeer(args, options);
  const lines = stdout.toString("utf8").split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as T); // as the caller, who chose the command, knows
}
