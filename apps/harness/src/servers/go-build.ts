import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { onlyOnce } from "./build-lock.js";
import { cacheFolder, findOnPath, isProgram } from "./cache.js";
import { HarnessError } from "./errors.js";
import { supervise } from "./supervise.js";

/** A server that is built from a pinned Go module. */
export interface GoServer {
  /** The name of the server and of the built program. */
  readonly name: string;
  /** The main package, as `go build` takes it; `go.mod` names it as a `tool`. */
  readonly package: string;
  /** The folder with `go.mod` and `go.sum`. Default: `servers/<name>` of the harness. */
  readonly module?: string;
  /** A part of it is written in C, so that a C compiler is needed too. Default false. */
  readonly cgo?: boolean;
}

export interface GoBuildOptions {
  /** Where `PATH`, `HOME`, the cache folder and Go's own settings are read. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Gets one line when a build begins. Default: writes it to stderr, because a cold build takes more than a minute. */
  readonly onBuild?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** A cold build of etcd took 75 s alone on two cores; hooks and tests that may have to wait for one should allow this long. */
export const goBuildTimeoutMs = 600_000;

/** In the cache key too: other flags make another program. Nothing depends on where the cache lies. */
const buildFlags = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"];

/**
 * The path of the server's program, built if this very module was not built before by this Go.
 * Many processes may call at once: one builds, the others wait for it. A build appears in the cache whole or not at all.
 * @throws HarnessError "missing-server" (no `go` on `PATH` and nothing in the cache), "build-failed"
 */
export async function buildGoServer(server: GoServer, options: GoBuildOptions = {}): Promise<string> {
  const env = options.env ?? process.env;
  const go = findOnPath("go", env);
  if (go === undefined || !hasCompilers(server, env)) {
    const built = findGoServer(server, env);
    if (built === undefined) throw new HarnessError("missing-server", howToGetGoServer(server));
    return built;
  }
  const module = moduleFolder(server);
  const folder = join(cacheFolder(env), "go", server.name);
  const { GOVERSION, GOOS, GOARCH } = await goSettings(go, module, goEnv(server, env), options.signal);
  const target = join(folder, `${moduleKey(server)}-${GOVERSION}-${GOOS}-${GOARCH}`);
  const program = join(target, server.name);
  if (isProgram(program)) return program;
  await mkdir(folder, { recursive: true });
  return onlyOnce(`${target}.lock`, {
    done: async () => (isProgram(program) ? program : undefined),
    work: async () => {
      const announce = options.onBuild ?? ((line: string) => process.stderr.write(`${line}\n`));
      announce(`building ${server.name} from ${server.package}, once (a minute or two) ...`);
      await build(go, { server, target, env: goEnv(server, env), signal: options.signal });
      return program;
    },
    signal: options.signal,
  });
}

/** Builds several, one after the other: at once they would share the processors, and compile what they have in common twice. */
export async function buildGoServers(
  servers: readonly GoServer[],
  options: GoBuildOptions = {},
): Promise<readonly string[]> {
  const programs: string[] = [];
  for (const server of servers) programs.push(await buildGoServer(server, options));
  return programs;
}

/** The server's program in the cache, built from this very module by any Go; undefined if there is none. */
export function findGoServer(server: GoServer, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const folder = join(cacheFolder(env), "go", server.name);
  const platform = `-${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
  let builds: string[] = [];
  try {
    builds = readdirSync(folder);
  } catch {
    // no cache yet
  }
  return builds
    .filter((build) => build.startsWith(`${moduleKey(server)}-`) && build.endsWith(platform))
    .map((build) => join(folder, build, server.name))
    .find(isProgram);
}

/** Whether what builds the server is on this machine. */
export function hasCompilers(server: GoServer, env: NodeJS.ProcessEnv = process.env): boolean {
  if (findOnPath("go", env) === undefined) return false;
  if (server.cgo !== true) return true;
  const names = env.CC ? [env.CC.split(" ")[0] ?? ""] : ["gcc", "clang"]; // what Go takes when CC does not say
  return names.some((name) => isProgram(name) || findOnPath(name, env) !== undefined);
}

/** One sentence for people whose machine lacks Go. */
export function howToGetGoServer(server: GoServer): string {
  const version = /^go (\S+)$/m.exec(readFileSync(join(moduleFolder(server), "go.mod"), "utf8"))?.[1];
  const compiler =
    server.cgo === true
      ? " and a C compiler (Debian and Ubuntu: `apt-get install gcc libc6-dev`), put `go` and `gcc`"
      : ", put `go`";
  return `${server.name} is built from a pinned Go module: install Go ${version} or newer${compiler} on PATH and run again; it is built once and kept`;
}

async function build(
  go: string,
  options: {
    readonly server: GoServer;
    readonly target: string;
    readonly env: NodeJS.ProcessEnv;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { server, target, signal } = options;
  const scratch = `${target}.${randomUUID()}`;
  const log = `${target}.log`;
  await mkdir(scratch);
  try {
    await rm(log, { force: true });
    const compiler = await supervise(go, {
      args: ["build", ...buildFlags, "-o", join(scratch, server.name), server.package],
      cwd: moduleFolder(server),
      env: options.env,
      logPath: log,
    });
    const onAbort = (): boolean => compiler.send("SIGKILL");
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    const exit = await compiler.exited.finally(() => signal?.removeEventListener("abort", onAbort));
    signal?.throwIfAborted();
    if (exit.code !== 0) {
      const output = await readFile(log, "utf8");
      throw new HarnessError(
        "build-failed",
        `go build of ${server.name} ended with ${exit.code ?? exit.signal}; all of its output is in ${log}, its end is:\n${tail(output, 40)}`,
      );
    }
    // A target that is there already was built by somebody who took this lock for a dead one's: it is as good.
    await rename(scratch, target).catch((error: unknown) => {
      if (!isProgram(join(target, server.name))) throw error;
    });
    await rm(log, { force: true });
    await removeOldLogs(join(target, ".."));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The logs of builds that failed before something was mended; not those of builds that run, which hold a lock. */
async function removeOldLogs(folder: string): Promise<void> {
  const names = new Set(await readdir(folder));
  const old = [...names].filter((name) => name.endsWith(".log") && !names.has(name.replace(/log$/, "lock")));
  await Promise.all(old.map((name) => rm(join(folder, name), { force: true })));
}

async function goSettings(
  go: string,
  module: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<Record<"GOVERSION" | "GOOS" | "GOARCH", string>> {
  try {
    const names = ["GOVERSION", "GOOS", "GOARCH"];
    const { stdout } = await promisify(execFile)(go, ["env", "-json", ...names], {
      cwd: module,
      env,
      signal,
    });
    return JSON.parse(stdout) as Record<"GOVERSION" | "GOOS" | "GOARCH", string>; // `go env -json` prints just these
  } catch (error) {
    signal?.throwIfAborted();
    throw new HarnessError("build-failed", `\`${go} env\` failed in ${module}: ${String(error)}`, {
      cause: error,
    });
  }
}

/** What differs from the caller's environment: no workspace file may change the pinned versions, and Go wants a HOME. */
function goEnv(server: GoServer, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const cgo = server.cgo === true ? "1" : "0";
  return { ...env, HOME: env.HOME || homedir(), CGO_ENABLED: cgo, GOWORK: "off", GOFLAGS: "" };
}

function moduleKey(server: GoServer): string {
  const hash = createHash("sha256");
  const folder = moduleFolder(server);
  // The programs of our own lie beside their go.mod, in one folder.
  const sources = readdirSync(folder).filter((file) => file.endsWith(".go"));
  for (const file of ["go.mod", "go.sum", ...sources.sort()])
    hash.update(readFileSync(join(folder, file))).update("\0");
  return hash
    .update([server.package, ...buildFlags, ...(server.cgo === true ? ["cgo"] : [])].join("\0"))
    .digest("hex")
    .slice(0, 16);
}

function moduleFolder(server: GoServer): string {
  // The same from src/servers and from dist/servers.
  return server.module ?? fileURLToPath(new URL(`../../servers/${server.name}/`, import.meta.url));
}

/** The last lines of a text. */
export function tail(text: string, lines: number): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}
