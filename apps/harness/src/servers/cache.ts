import { accessSync, constants, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where built servers are kept: `X_HARNESS_CACHE`, else `x-harness` in `XDG_CACHE_HOME`, else `~/.cache/x-harness`. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (isSet(env.X_HARNESS_CACHE)) return env.X_HARNESS_CACHE;
  if (isSet(env.XDG_CACHE_HOME)) return join(env.XDG_CACHE_HOME, "x-harness");
  return join(isSet(env.HOME) ? env.HOME : homedir(), ".cache", "x-harness");
}

/** The program's absolute path, looked up on `PATH`; undefined if it is not there. */
export function findOnPath(program: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    const path = join(folder, program);
    if (folder !== "" && isProgram(path)) return path;
  }
  return undefined;
}

export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== "";
}
