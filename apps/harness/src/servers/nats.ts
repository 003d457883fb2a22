import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildGoServer } from "./go-build.js";
import { natsBuild } from "./go-servers.js";
import { requestJson } from "./http.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";

export interface NatsOptions extends ServerOptions {
  /** When JetStream syncs its files: "always" (the default: before it acknowledges), or a duration such as "2m". */
  readonly syncInterval?: string;
}

type NatsPort = "client" | "monitor";

/** One real NATS server with JetStream on loopback. */
export class NatsServer extends ServerProcess<NatsPort> {
  /** What clients dial: `nats://127.0.0.1:PORT`. */
  get url(): string {
    return `nats://127.0.0.1:${this.ports.client}`;
  }
}

/**
 * Builds the NATS server if it was not built before, and starts it with JetStream on file storage.
 * Its configuration is the file named by the last argument of `commandLine`.
 * @throws HarnessError "missing-server", "build-failed", "exited", "not-ready"
 */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const program = await buildGoServer(natsBuild, { signal: options.signal });
  return new NatsServer(natsKind(program, options.syncInterval ?? "always"), options).start();
}

function natsKind(program: string, syncInterval: string): ServerKind<NatsPort> {
  return {
    name: "nats",
    ports: ["client", "monitor"],
    command: async ({ ports, dataDir, workDir, identity }, signal) => {
      const path = join(workDir, "nats.conf");
      // The configuration language takes JSON; sync_interval exists in no flag.
      const config = {
        server_name: identity,
        host: "127.0.0.1",
        port: ports.client,
        http: `127.0.0.1:${ports.monitor}`,
        jetstream: { store_dir: dataDir, sync_interval: syncInterval },
      };
      await writeFile(path, JSON.stringify(config, undefined, 2), { signal });
      return { file: program, args: ["--config", path] };
    },
    isReady: async ({ ports, identity }, signal) => {
      const monitor = `http://127.0.0.1:${ports.monitor}`;
      const health = (await requestJson(`${monitor}/healthz`, { signal })) as { readonly status?: string };
      const about = (await requestJson(`${monitor}/varz`, { signal })) as { readonly server_name?: string };
      return health.status === "ok" && about.server_name === identity;
    },
  };
}
