import { createConnection } from "node:net";
import { findOnPath } from "./cache.js";
import { HarnessError } from "./errors.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";

export interface RedisOptions extends ServerOptions {
  /** When the append-only file is synced. Default "always": before a write is acknowledged. */
  readonly appendFsync?: "always" | "everysec" | "no";
}

/** One real Redis server on loopback, with an append-only file and no snapshots. */
export class RedisServer extends ServerProcess<"client"> {
  readonly host = "127.0.0.1";

  get port(): number {
    return this.ports.client;
  }
}

/** One sentence for people whose machine lacks Redis. */
export const howToGetRedis =
  "redis-server is not on PATH: install it (Debian and Ubuntu: `apt-get install redis-server`)";

/** Starts the `redis-server` of this machine. @throws HarnessError "missing-server", "exited", "not-ready" */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const program = findOnPath("redis-server");
  if (program === undefined) throw new HarnessError("missing-server", howToGetRedis);
  return new RedisServer(redisKind(program, options.appendFsync ?? "always"), options).start();
}

function redisKind(program: string, appendFsync: string): ServerKind<"client"> {
  return {
    name: "redis",
    ports: ["client"],
    command: async ({ ports, dataDir }) => {
      const settings = {
        bind: "127.0.0.1",
        port: String(ports.client),
        dir: dataDir,
        appendonly: "yes",
        appendfsync: appendFsync,
        save: "", // no snapshots: they would cost the measured runs a fork now and then
        daemonize: "no",
      };
      return {
        file: program,
        args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      };
    },
    isReady: async ({ ports, pid }, signal) => {
      // While it loads its file, PING is refused. The process id says that it is ours, not a stranger on a port we lost.
      const answer = await ask(ports.client, "PING\r\nINFO server\r\nQUIT\r\n", signal);
      return answer.startsWith("+PONG\r\n") && answer.includes(`\r\nprocess_id:${pid}\r\n`);
    },
  };
}

/** Sends a request that ends with QUIT, and gives all that was answered until the server closed. */
function ask(port: number, request: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: "127.0.0.1", signal }, () => socket.write(request));
    let answer = "";
    socket.setEncoding("utf8");
    socket.setTimeout(2_000, () => socket.destroy(new Error("redis did not answer in time")));
    socket.on("data", (part: string) => {
      answer += part;
    });
    socket.once("error", reject);
    socket.once("end", () => resolve(answer));
  });
}
