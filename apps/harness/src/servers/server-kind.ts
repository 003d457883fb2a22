import type { PortPicker } from "./ports.js";

/** What one start of a server is given. */
export interface Launch<P extends string> {
  /** Loopback ports by their names. The same ones after a restart and a wipe. */
  readonly ports: Readonly<Record<P, number>>;
  /** The server's data; the same folder after a restart, an empty one after a wipe. */
  readonly dataDir: string;
  /** A folder of this server for anything else, such as a configuration file. */
  readonly workDir: string;
  /** A name no other server has: `isReady` must not take a stranger on the same port for this server. */
  readonly identity: string;
}

export interface ProgramCall {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  /** The whole environment. Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
}

/** A running launch, as the readiness check sees it. */
export interface Launched<P extends string> extends Launch<P> {
  readonly pid: number;
  /** All that was logged since this launch. */
  readonly log: () => Promise<string>;
}

/** How one kind of server is started; everything else about servers is the same. */
export interface ServerKind<P extends string> {
  readonly name: string;
  readonly ports: readonly P[];
  /** What to run. May write files into `workDir`. */
  command(launch: Launch<P>, signal?: AbortSignal): Promise<ProgramCall>;
  /** True once the server answers for itself. Throwing means "not yet". */
  isReady(launched: Launched<P>, signal: AbortSignal): Promise<boolean>;
  /** What the log says when a port was taken meanwhile. Default: the usual sentences. */
  readonly portTaken?: RegExp;
}

/** The part of a vitest test context that ties a server to a test. */
export interface TestScope {
  readonly task: { readonly name: string; readonly result?: { readonly state: string } | undefined };
  readonly onTestFinished: (callback: () => Promise<void>) => void;
}

export interface ServerOptions {
  /** Data that outlives the server. Default: a folder of its own, removed with it. */
  readonly dataDir?: string;
  /** How long a start may take until the server is ready. Default 60,000: a start takes below a second, but machines are shared. */
  readonly readyWithinMs?: number;
  /** How long `stop` waits after SIGTERM before SIGKILL. Default 5,000. */
  readonly stopWithinMs?: number;
  /** The test that owns the server: it is stopped when the test ends, and its folder stays if the test failed. */
  readonly test?: TestScope;
  /** Where ports come from. Default: `pickPorts`. */
  readonly pickPorts?: PortPicker;
  readonly signal?: AbortSignal;
}

export type ControlSignal = "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT";
