import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "./errors.js";
import { buildGoServer } from "./go-build.js";
import { toxiproxyBuild } from "./go-servers.js";
import { requestJson } from "./http.js";
import { pickPorts } from "./ports.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";
import { ToxicProxy } from "./toxic-proxy.js";

export type ToxiproxyOptions = Omit<ServerOptions, "dataDir">;

const attempts = 5;

export interface ProxyOptions {
  /**
   * Every end of a connection through the proxy is a reset (RST), so that `cut` resets all that are open, at once.
   * Default false: they end as TCP connections should (FIN), and only `resetPeers` resets.
   */
  readonly resets?: boolean;
  readonly signal?: AbortSignal;
}

/** Real toxiproxy on loopback: connections through it can be cut, delayed, reset and held. A restart forgets its proxies. */
export class ToxiproxyServer extends ServerProcess<"api"> {
  #proxies = 0;

  /**
   * A new way to a TCP server, on a free loopback port: `proxy("http://127.0.0.1:8080")`, or without a scheme.
   * For a Gazette broker: a client that follows the routes which brokers tell (a route cache) goes past it.
   * @throws HarnessError "request-failed"
   */
  async proxy(upstream: string, options: ProxyOptions = {}): Promise<ToxicProxy> {
    const parts = /^([a-z][a-z0-9+.-]*:\/\/)?([^/:]+:\d+)\/?$/.exec(upstream);
    if (parts === null) {
      throw new HarnessError(
        "request-failed",
        `toxiproxy leads to host:port or scheme://host:port, not to ${upstream}`,
      );
    }
    const api = apiUrl(this.ports.api);
    const name = `proxy-${this.#proxies++}`;
    for (let attempt = 1; ; attempt++) {
      const [port = 0] = await pickPorts(1);
      const post = { name, listen: `127.0.0.1:${port}`, upstream: parts[2], enabled: true };
      try {
        await requestJson(`${api}/proxies`, { post, timeoutMs: 10_000, signal: options.signal });
        const proxy = new ToxicProxy({ api, name, port, scheme: parts[1] ?? "" });
        if (options.resets === true) {
          // One that acts on no connection: by its mere presence toxiproxy sets SO_LINGER to 0 on each new one.
          await proxy.addToxic("reset_peer", { timeout: 0 }, { toxicity: 0, signal: options.signal });
        }
        return proxy;
      } catch (error) {
        options.signal?.throwIfAborted();
        if (attempt < attempts && /address already in use/.test(String(error))) continue;
        throw new HarnessError("request-failed", `toxiproxy refused: ${String(error)}`, { cause: error });
      }
    }
  }
}

/**
 * Builds toxiproxy if it was not built before, and starts it without proxies.
 * @throws HarnessError "missing-server", "build-failed", "exited", "not-ready"
 */
export async function startToxiproxy(options: ToxiproxyOptions = {}): Promise<ToxiproxyServer> {
  const program = await buildGoServer(toxiproxyBuild, { signal: options.signal });
  return new ToxiproxyServer(toxiproxyKind(program), options).start();
}

function toxiproxyKind(program: string): ServerKind<"api"> {
  return {
    name: "toxiproxy",
    ports: ["api"],
    command: async ({ ports, workDir, identity }, signal) => {
      // A proxy that is never enabled, by whose name it is known to be ours and not another runner's on a port we lost.
      const marker = { name: identity, listen: "127.0.0.1:0", upstream: "127.0.0.1:1", enabled: false };
      const config = join(workDir, "proxies.json");
      await writeFile(config, JSON.stringify([marker]), { signal });
      return { file: program, args: ["-host=127.0.0.1", `-port=${ports.api}`, `-config=${config}`] };
    },
    isReady: async ({ ports, identity }, signal) => {
      const proxies = (await requestJson(`${apiUrl(ports.api)}/proxies`, { signal })) as object;
      return Object.hasOwn(proxies, identity);
    },
  };
}

function apiUrl(port: number): string {
  return `http://127.0.0.1:${port}`;
}
