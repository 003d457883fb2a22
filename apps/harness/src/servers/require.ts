import { findOnPath } from "./cache.js";
import { HarnessError } from "./errors.js";
import { findGoServer, type GoServer, hasCompilers, howToGetGoServer } from "./go-build.js";
import {
  bsPeerBuild,
  etcdBuild,
  gazctlBuild,
  gazetteBuild,
  gazettePeerBuild,
  natsBuild,
  toxiproxyBuild,
  versitygwBuild,
} from "./go-servers.js";
import { howToGetRedis } from "./redis.js";

export type ServerName =
  | "bs-peer"
  | "etcd"
  | "gazette"
  | "gazette-peer"
  | "nats"
  | "redis"
  | "toxiproxy"
  | "versitygw";

export interface RequireOptions {
  /** Where `PATH`, `CI` and the cache folder are read. Default: `process.env`. */
  readonly env?: NodeJS.ProcessEnv;
  /** Gets the line that says what is skipped. Default: writes it to stderr. */
  readonly onMissing?: (line: string) => void;
}

/**
 * For suites that need a real server: `describe.skipIf(!requireServer("etcd"))("...", ...)`. True if it can be started
 * here, maybe after a build. If not, says so in one line, with how to get it; with `CI` set (to other than "", "0", "false")
 * a missing server is a failure, never a skip.
 * @throws HarnessError "missing-server", with `CI` only
 */
export function requireServer(name: ServerName, options: RequireOptions = {}): boolean {
  const env = options.env ?? process.env;
  const advice = adviceFor(name, env);
  if (advice === undefined) return true;
  if (!["", "0", "false"].includes(env.CI ?? "")) {
    throw new HarnessError("missing-server", `with CI set, no suite may be skipped: ${advice}`);
  }
  const say = options.onMissing ?? ((line: string) => process.stderr.write(`${line}\n`));
  say(`!!! SKIPPED the tests that need a real ${name}: ${advice} !!!`);
  return false;
}

/** How to get it, undefined if it is there. */
function adviceFor(name: ServerName, env: NodeJS.ProcessEnv): string | undefined {
  switch (name) {
    case "bs-peer":
      return goAdvice(bsPeerBuild, env);
    case "etcd":
      return goAdvice(etcdBuild, env);
    case "gazette":
      return goAdvice(gazetteBuild, env) ?? goAdvice(gazctlBuild, env);
    case "gazette-peer":
      return goAdvice(gazettePeerBuild, env);
    case "toxiproxy":
      return goAdvice(toxiproxyBuild, env);
    case "versitygw":
      return goAdvice(versitygwBuild, env);
    case "nats":
      return goAdvice(natsBuild, env);
    case "redis":
      return findOnPath("redis-server", env) === undefined ? howToGetRedis : undefined;
  }
}

function goAdvice(server: GoServer, env: NodeJS.ProcessEnv): string | undefined {
  if (hasCompilers(server, env) || findGoServer(server, env) !== undefined) return undefined;
  return howToGetGoServer(server);
}
