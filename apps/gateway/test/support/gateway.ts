/** A gateway of the test's own process, with everything in a temporary folder. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GatewayServerLimits, TopicClient } from "@x/topic-gateway";
import type { ArchiveConfig } from "../../src/archive/archive-config.js";
import type { ServeConfig } from "../../src/config.js";
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from "../../src/http/http-config.js";
import type { Log } from "../../src/log.js";
import { serve } from "../../src/serve.js";

export interface TestGateway extends AsyncDisposable {
  readonly url: string;
  readonly grpc: string;
  readonly client: TopicClient;
  /** What it logged as errors: a request that failed by our own fault. */
  readonly errors: string[];
  /** Ends it, and starts another one on the same folder. */
  restart(): Promise<TestGateway>;
}

const loopback = { host: "127.0.0.1", port: 0 };

export async function startGateway(
  options: {
    readonly directory?: string;
    readonly buffers?: number;
    readonly archive?: ArchiveConfig;
    readonly segmentMaxBytes?: number;
    readonly limits?: Partial<HttpLimits>;
    readonly grpcLimits?: GatewayServerLimits;
    /** Names of the gateway beside IP addresses and localhost. */
    readonly hosts?: readonly string[];
  } = {},
): Promise<TestGateway> {
  const { directory, buffers = 2, segmentMaxBytes = 64 * 1024 * 1024, limits, hosts = [] } = options;
  const dataDirectory = directory ?? (await mkdtemp(join(tmpdir(), "x-gateway-test-")));
  const errors: string[] = [];
  const log: Log = {
    info: () => {},
    error: (message, cause) => errors.push(`${message}: ${String(cause)}`),
    debug: () => {},
    buffer: () => {},
    registry: () => {},
  };
  const config: ServeConfig = {
    role: "all",
    http: loopback,
    httpConfig: { hosts, limits: { ...DEFAULT_HTTP_LIMITS, ...limits } },
    grpc: loopback,
    grpcLimits: options.grpcLimits ?? {},
    dataDirectory,
    etcd: [],
    buffers,
    leaseTtlMs: 5_000,
    segmentMaxBytes,
    segmentMaxAgeMs: 600_000,
    archive: options.archive ?? {
      kind: "blob",
      directories: ["1", "2"].map((name) => join(dataDirectory, "archive", name)),
      collectMs: 3_600_000,
    },
  };
  const served = await serve(config, log);
  return {
    url: `http://${served.http}`,
    grpc: served.grpc,
    client: served.client as TopicClient,
    errors,
    async restart() {
      await served.close();
      return await startGateway({ ...options, directory: dataDirectory });
    },
    async [Symbol.asyncDispose]() {
      await served.close();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}
