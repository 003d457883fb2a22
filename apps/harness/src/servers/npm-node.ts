import { randomUUID } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { onlyOnce } from "./build-lock.js";
import { cacheFolder, findOnPath, isProgram } from "./cache.js";
import { HarnessError } from "./errors.js";
import { type RunResult, runProgram } from "./run-program.js";

/** The Node that `installNode` gets: exact, so that figures which it gave can be had again. */
export const pinnedNodeVersion = "24.21.0";

export interface NodeInstallOptions {
  /** Where `PATH`, `HOME`, the cache folder and npm's own settings are read. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Default: that of this machine, as `linux-x64`. */
  readonly platform?: string;
  /** Gets one line when an installation begins. Default: writes it to stderr. */
  readonly onInstall?: (line: string) => void;
  readonly signal?: AbortSignal;
}

const platforms: readonly string[] = ["linux-x64", "linux-arm64"];
/** Some 50 MB are fetched; a network that is there but hangs is not waited for longer. */
const INSTALL_WITHIN_MS = 180_000;

/**
 * The path of a Node of the pinned version, whatever Node runs this. It comes from the packages that npm's `node` has for each platform, once,
 * and is kept beside the built servers. Many processes may call at once: one installs, the others wait for it. It appears in the cache whole
 * or not at all. The messages of its errors name no folder and no host, so that they can be shown beside figures.
 * @throws HarnessError "missing-server" (no such package for the platform, or no `npm` on `PATH` and nothing in the cache), "build-failed"
 */
export async function installNode(options: NodeInstallOptions = {}): Promise<string> {
  const { env = process.env, platform = `${process.platform}-${process.arch}`, signal } = options;
  if (!platforms.includes(platform)) {
    throw new HarnessError(
      "missing-server",
      `Node ${pinnedNodeVersion} is taken from npm on ${platforms.join(" and ")} only, and this is ${platform}`,
    );
  }
  const folder = join(cacheFolder(env), "node");
  const target = join(folder, `${pinnedNodeVersion}-${platform}`);
  const program = programIn(target, platform);
  if (isProgram(program)) return program;
  const npm = findOnPath("npm", env);
  if (npm === undefined) {
    throw new HarnessError(
      "missing-server",
      `Node ${pinnedNodeVersion} comes from npm, and there is no \`npm\` on PATH`,
    );
  }
  await mkdir(folder, { recursive: true });
  return onlyOnce(`${target}.lock`, {
    done: async () => (isProgram(program) ? program : undefined),
    work: async () => {
      const announce = options.onInstall ?? ((line: string) => process.stderr.write(`${line}\n`));
      announce(`installing Node ${pinnedNodeVersion} from npm, once (some seconds) ...`);
      await install(npm, { env, platform, target, signal });
      return program;
    },
    signal,
  });
}

async function install(
  npm: string,
  options: {
    readonly env: NodeJS.ProcessEnv;
    readonly platform: string;
    readonly target: string;
    readonly signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { env, platform, target } = options;
  const name = `${packageOf(platform)}@${pinnedNodeVersion}`;
  const late = AbortSignal.timeout(INSTALL_WITHIN_MS);
  const signal = options.signal === undefined ? late : AbortSignal.any([options.signal, late]);
  const run = async (file: string, args: readonly string[]): Promise<RunResult> => {
    try {
      return await runProgram(file, { args, env, mayFail: true, signal });
    } catch (cause) {
      options.signal?.throwIfAborted();
      const outcome = late.aborted ? `was not done in ${INSTALL_WITHIN_MS / 1000} s` : "was cut short";
      throw new HarnessError("build-failed", `npm's installation of ${name} ${outcome}`, { cause });
    }
  };
  const scratch = `${target}.${randomUUID()}`;
  await mkdir(scratch);
  try {
    // By default npm waits more than a minute for a network that is not there; a second try comes after ten seconds.
    const patience = ["--fetch-retries=1"];
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", ...patience];
    const { code, stderr } = await run(npm, ["install", "--prefix", scratch, ...flags, name]);
    if (code !== 0) {
      // Only npm's own word for it: the rest of what it says names hosts and folders.
      const reason = /^npm (?:error|ERR!) code (\w+)$/m.exec(stderr)?.[1] ?? `it ended with ${code}`;
      throw new HarnessError("build-failed", `npm could not install ${name} (${reason})`, {
        cause: new Error(stderr),
      });
    }
    // Such as one whose C library is another.
    const { stdout } = await run(programIn(scratch, platform), ["--version"]);
    if (stdout.toString("utf8").trim() !== `v${pinnedNodeVersion}`)
      throw new HarnessError("build-failed", `${name} does not run on this machine`);
    // A target that is there already was installed by somebody who took this lock for a dead one's: it is as good.
    await rename(scratch, target).catch((error: unknown) => {
      if (!isProgram(programIn(target, platform))) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function packageOf(platform: string): string {
  return `node-${platform}`;
}

function programIn(prefix: string, platform: string): string {
  return join(prefix, "node_modules", packageOf(platform), "bin", "node");
}
