import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { HarnessError } from "./errors.js";
import { requestJson, requestText } from "./http.js";
import { ServerProcess } from "./server.js";
import type { ServerKind, ServerOptions } from "./server-kind.js";

/** One etcd by its endpoint, or several members: a broker starts from one that runs, and learns the others from it. */
export type GazetteEtcd =
  | { readonly endpoint: string }
  | { readonly members: readonly { readonly endpoint: string; readonly running: boolean }[] };

/** Paths of PEM files; `makeCertificates` makes such. */
export interface GazetteTls {
  readonly caFile: string;
  /** The brokers present it, to each other too. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Clients need a certificate of the same authority. Default false. */
  readonly clientCertificates?: boolean;
}

export interface GazetteBrokerSettings {
  /** The gazette program. */
  readonly program: string;
  /** The broker's name in its cluster, four characters or more; with the zone it is its process id. */
  readonly id: string;
  readonly zone: string;
  readonly etcd: GazetteEtcd;
  readonly etcdPrefix: string;
  /** The path of the Unix socket on which it listens; undefined for a port on loopback. */
  readonly socketPath: string | undefined;
  readonly fileRoot: string;
  readonly fileOnly: boolean;
  readonly authKeys: string | undefined;
  readonly tls: GazetteTls | undefined;
  readonly leaseSeconds: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** One broker of real Gazette. Made by `startGazette`. */
export class GazetteBroker extends ServerProcess<string> {
  readonly #settings: GazetteBrokerSettings;

  constructor(settings: GazetteBrokerSettings, options: ServerOptions) {
    super(brokerKind(settings), options);
    this.#settings = settings;
  }

  /** What clients dial and what the broker advertises: `http://127.0.0.1:PORT` (https with `tls`), or `unix://127.0.0.1/PATH`. The same after a restart. */
  get endpoint(): string {
    const { socketPath, tls } = this.#settings;
    if (socketPath !== undefined) return `unix://127.0.0.1${socketPath}`;
    return `${tls === undefined ? "http" : "https"}://127.0.0.1:${this.ports.broker}`;
  }

  get socketPath(): string | undefined {
    return this.#settings.socketPath;
  }

  /** As routes and headers name it. */
  get processId(): { readonly zone: string; readonly suffix: string } {
    return { zone: this.#settings.zone, suffix: this.#settings.id };
  }

  /** POSTs to the broker's JSON gateway, such as `/v1/journals/list`. */
  request(
    path: string,
    options: { readonly post: unknown; readonly token?: string; readonly signal?: AbortSignal },
  ): Promise<unknown> {
    const headers = options.token === undefined ? undefined : { authorization: `Bearer ${options.token}` };
    return gatewayCall(this.#settings, this.ports.broker).then(({ base, ...call }) =>
      requestJson(`${base}${path}`, { ...call, post: options.post, signal: options.signal, headers }),
    );
  }

  /**
   * The end: SIGKILL and no handing over, because the last broker of a cluster would wait for one that takes its journals.
   * To see a broker leave in an orderly way: `kill("SIGTERM")` and `exited`, while others run or its journals are deleted.
   */
  override async stop(): Promise<void> {
    if (this.running) await this.kill("SIGKILL");
    await super.stop();
  }
}

function brokerKind(settings: GazetteBrokerSettings): ServerKind<string> {
  const { socketPath } = settings;
  return {
    name: "gazette",
    ports: socketPath === undefined ? ["broker"] : [],
    command: async ({ ports, workDir, dataDir }, signal) => {
      const etcdEndpoint = etcdEndpointOf(settings.etcd);
      await forgetMember(etcdEndpoint, settings, signal);
      if (socketPath !== undefined) await rm(socketPath, { force: true }); // a killed broker leaves it, and could not bind
      const flags = {
        "broker.id": settings.id,
        "broker.zone": settings.zone,
        "broker.host": "127.0.0.1", // advertised; there is no flag that keeps it from listening on the other interfaces too
        "broker.port": socketPath === undefined ? String(ports.broker) : `unix://${socketPath}`,
        "broker.file-root": settings.fileRoot,
        "etcd.address": etcdEndpoint,
        "etcd.prefix": settings.etcdPrefix,
        "etcd.lease": `${settings.leaseSeconds}s`,
        "log.level": "info",
        ...tlsFlags(settings.tls),
        ...(settings.authKeys === undefined ? {} : { "broker.auth-keys": settings.authKeys }),
      };
      return {
        file: settings.program,
        args: [
          "serve",
          ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
          ...(settings.fileOnly ? ["--broker.file-only"] : []),
          ...settings.args,
        ],
        cwd: workDir,
        // The spools of fragments are temporary files.
        env: { ...process.env, TMPDIR: dataDir, ...settings.env },
      };
    },
    isReady: async ({ ports, log }, signal) => {
      // It says this after it has bound its port: whoever answers there is this broker.
      if (!(await log()).includes("starting broker")) return false;
      const { base, ...call } = await gatewayCall(settings, ports.broker);
      // Until the broker serves, the port is bound and nobody accepts.
      const { status } = await requestText(`${base}/debug/ready`, { ...call, timeoutMs: 1_000, signal });
      return status === 200;
    },
  };
}

function tlsFlags(tls: GazetteTls | undefined): Record<string, string> {
  if (tls === undefined) return {};
  return {
    "broker.server-cert-file": tls.certFile,
    "broker.server-cert-key-file": tls.keyFile,
    ...(tls.clientCertificates === true ? { "broker.server-ca-file": tls.caFile } : {}),
    "broker.peer-cert-file": tls.certFile,
    "broker.peer-cert-key-file": tls.keyFile,
    "broker.peer-ca-file": tls.caFile,
  };
}

/** How the broker's HTTP is called: on a Unix socket without TLS, as brokers do. */
async function gatewayCall(
  { socketPath, tls }: GazetteBrokerSettings,
  port: number | undefined,
): Promise<{ readonly base: string; socketPath?: string; ca?: string; cert?: string; key?: string }> {
  if (socketPath !== undefined) return { base: "http://unix", socketPath };
  if (tls === undefined) return { base: `http://127.0.0.1:${port}` };
  const read = (path: string): Promise<string> => readFile(path, "utf8");
  const [ca, cert, key] = await Promise.all([read(tls.caFile), read(tls.certFile), read(tls.keyFile)]);
  return { base: `https://127.0.0.1:${port}`, ca, cert, key };
}

/**
 * Ends the lease under which a killed broker is still a member: a broker that finds its own name taken waits ten seconds
 * before it looks again. Without an entry, as at the first start and after an orderly end, nothing is done.
 */
async function forgetMember(
  etcd: string,
  settings: GazetteBrokerSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = `${settings.etcdPrefix}/members/${settings.zone}#${settings.id}`;
  const found = (await requestJson(`${etcd}/v3/kv/range`, {
    post: { key: Buffer.from(key).toString("base64") },
    timeoutMs: 10_000,
    signal,
  })) as { readonly kvs?: readonly { readonly lease?: string }[] };
  const lease = found.kvs?.[0]?.lease;
  if (lease === undefined) return;
  const { status, text } = await requestText(`${etcd}/v3/lease/revoke`, {
    post: { ID: lease },
    timeoutMs: 10_000,
    signal,
  });
  // 404: it has run out meanwhile.
  if (status !== 200 && status !== 404)
    throw new Error(`etcd did not revoke a lease: ${status}: ${text.trim()}`);
}

function etcdEndpointOf(etcd: GazetteEtcd): string {
  if ("endpoint" in etcd) return etcd.endpoint;
  const member = etcd.members.find(({ running }) => running);
  if (member === undefined) throw new HarnessError("not-ready", "no member of etcd runs: a broker needs one");
  return member.endpoint;
}

/** The path of a broker's socket: short, because a socket's path is at most about 100 bytes. */
export function socketPathIn(folder: string, index: number): string {
  return join(folder, `${index}.sock`);
}
