import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HarnessError } from "./errors.js";
import { GazetteBroker, type GazetteEtcd, type GazetteTls, socketPathIn } from "./gazette-broker.js";
import { creation, deletion, type GazetteJournal, type GazetteListing, listing } from "./gazette-journals.js";
import { type GazetteTokenOptions, gazetteToken } from "./gazette-token.js";
import { buildGoServer } from "./go-build.js";
import { gazctlBuild, gazetteBuild } from "./go-servers.js";
import { type RunOptions, type RunResult, runProgram } from "./run-program.js";
import type { ServerOptions } from "./server-kind.js";
import { poll } from "./wait.js";

export interface GazetteOptions extends Omit<ServerOptions, "dataDir"> {
  /** Where the brokers keep what they know: an etcd of 3.5 or newer, or a cluster of it. Several clusters of brokers may share one. */
  readonly etcd: GazetteEtcd;
  /** Default 1. */
  readonly brokers?: number;
  /** The zone of each broker, in turn. Default `["local"]`. */
  readonly zones?: readonly string[];
  /** Where `file://` stores are rooted. Default: an empty folder of the cluster's own. One that held journals before confuses new ones of the same name. */
  readonly fileRoot?: string;
  /** All stores are taken for `file:///`. Default false. */
  readonly fileOnly?: boolean;
  /** Base64 keys with commas between: the first signs, all verify. Default: no authentication. */
  readonly authKeys?: string;
  /** Default "port": a loopback port each. "unix": a Unix socket each. */
  readonly listen?: "port" | "unix";
  /** Brokers serve TLS, and so talk to each other. Default: no TLS. Not for Unix sockets, on which Gazette has none. */
  readonly tls?: GazetteTls;
  /** After this without a sign of life a broker is no member, and others take its journals over. Default 5; etcd's shortest is 2. */
  readonly leaseSeconds?: number;
  /** More flags for each broker, after the harness's own. */
  readonly args?: readonly string[];
  /** More environment for each broker; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** The credentials and the region that a broker needs for `s3://` stores: for `env` of `GazetteOptions`. */
export function s3Environment(s3: {
  readonly accessKey: string;
  readonly secretKey: string;
}): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: s3.accessKey,
    AWS_SECRET_ACCESS_KEY: s3.secretKey,
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

/** The URL of a fragment store in a bucket of an S3 server that is not Amazon's. */
export function s3Store(s3: { readonly endpoint: string }, bucket: string, prefix = ""): string {
  return `s3://${bucket}/${prefix}?endpoint=${encodeURIComponent(s3.endpoint)}&region=us-east-1`;
}

/** Brokers of real Gazette that share an etcd and a root of `file://` stores. */
export class GazetteCluster implements AsyncDisposable {
  readonly brokers: readonly GazetteBroker[];
  readonly fileRoot: string;
  readonly authKeys: string | undefined;
  readonly tls: GazetteTls | undefined;
  readonly #gazctl: string;
  readonly #folder: string;
  #keepFolder = false;

  /** @internal Made by `startGazette`. */
  constructor(parts: {
    readonly brokers: readonly GazetteBroker[];
    readonly fileRoot: string;
    readonly authKeys: string | undefined;
    readonly tls: GazetteTls | undefined;
    readonly gazctl: string;
    readonly folder: string;
  }) {
    this.brokers = parts.brokers;
    this.fileRoot = parts.fileRoot;
    this.authKeys = parts.authKeys;
    this.tls = parts.tls;
    this.#gazctl = parts.gazctl;
    this.#folder = parts.folder;
  }

  /** The first broker's. */
  get endpoint(): string {
    return this.#first().endpoint;
  }

  get endpoints(): readonly string[] {
    return this.brokers.map(({ endpoint }) => endpoint);
  }

  /** A bearer token that the brokers accept. @throws HarnessError "request-failed" when they have no `authKeys` */
  token(options: GazetteTokenOptions = {}): string {
    const key = this.authKeys?.split(/[\s,]+/).find((each) => each !== "" && each !== "AA==");
    if (key === undefined)
      throw new HarnessError("request-failed", "the brokers have no authKeys to sign by");
    return gazetteToken(key, options);
  }

  /**
   * Runs `gazctl` with these arguments, against the first broker that runs unless told another, or a proxy.
   * @throws HarnessError "request-failed" with what it said, unless `mayFail`
   */
  gazctl(
    args: readonly string[],
    options: Omit<RunOptions, "args"> & { readonly broker?: { readonly endpoint: string } } = {},
  ): Promise<RunResult> {
    const { broker = this.#running(), ...rest } = options;
    const auth = this.authKeys === undefined ? [] : [`--broker.auth-keys=${this.authKeys}`];
    const { tls } = this;
    const trust = tls === undefined ? [] : [`--broker.trusted-ca-file=${tls.caFile}`];
    const own =
      tls?.clientCertificates === true
        ? [`--broker.cert-file=${tls.certFile}`, `--broker.cert-key-file=${tls.keyFile}`]
        : [];
    // The address is in the flag's own form, in which a Unix socket has a host.
    const address = `--broker.address=${broker.endpoint}`;
    return runProgram(this.#gazctl, { ...rest, args: [...args, address, ...auth, ...trust, ...own] });
  }

  /** @throws HarnessError "request-failed" */
  async listJournals(
    options: { readonly broker?: GazetteBroker; readonly signal?: AbortSignal } = {},
  ): Promise<readonly GazetteListing[]> {
    const token = this.authKeys === undefined ? undefined : this.token({ capabilities: ["LIST"] });
    const broker = options.broker ?? this.#running();
    const answer = await broker.request("/v1/journals/list", { post: {}, token, signal: options.signal });
    return listing(answer);
  }

  /**
   * Creates journals that do not exist yet, and returns when each has a primary and its replicas (as many as there are brokers for).
   * Folders of `file://` stores are made. @throws HarnessError "request-failed", "not-ready"
   */
  async createJournals(
    journals: readonly (string | GazetteJournal)[],
    options: { readonly withinMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const specs = journals.map((journal) => (typeof journal === "string" ? { name: journal } : journal));
    for (const store of specs.flatMap(({ stores = [] }) => stores)) {
      // A broker does not make them, and refuses to persist.
      if (store.startsWith("file:"))
        await mkdir(join(this.fileRoot, new URL(store).pathname), { recursive: true });
    }
    const input = creation(specs, this.brokers.length);
    await this.gazctl(["journals", "apply"], { input, signal: options.signal });
    await this.waitForAssignment(
      specs.map(({ name }) => name),
      options,
    );
  }

  createJournal(
    journal: string | GazetteJournal,
    options: { readonly withinMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    return this.createJournals([journal], options);
  }

  /** Returns when each of the journals has a primary and its replicas, as many as there are running brokers for. @throws HarnessError "not-ready" */
  async waitForAssignment(
    names: readonly string[],
    options: { readonly withinMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const withinMs = options.withinMs ?? 30_000;
    let last: readonly GazetteListing[] = [];
    const { answer, cause } = await poll(
      async (signal) => {
        last = await this.listJournals({ signal });
        const running = new Set(
          this.brokers.filter((each) => each.running).map((each) => each.processId.suffix),
        );
        const assigned = (name: string): boolean => {
          const journal = last.find((each) => each.name === name);
          if (journal?.primary === undefined || !running.has(journal.primary.suffix)) return false;
          const members = journal.members.filter(({ suffix }) => running.has(suffix));
          return members.length >= Math.min(journal.replication, running.size);
        };
        return names.every(assigned) || undefined;
      },
      { withinMs, signal: options.signal },
    );
    if (answer === true) return;
    const seen = JSON.stringify(last.filter(({ name }) => names.includes(name)));
    throw new HarnessError("not-ready", `no brokers for ${names.join(", ")} in ${withinMs} ms, but ${seen}`, {
      cause,
    });
  }

  /** Their fragments stay in the stores. @throws HarnessError "request-failed", also when one does not exist */
  async deleteJournals(
    names: readonly string[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    await this.gazctl(["journals", "apply"], { input: deletion(names), signal: options.signal });
  }

  /** The broker that is a journal's primary now. @throws HarnessError "request-failed" if it has none */
  async primaryOf(journal: string, options: { readonly signal?: AbortSignal } = {}): Promise<GazetteBroker> {
    const listed = (await this.listJournals(options)).find(({ name }) => name === journal);
    const suffix = listed?.primary?.suffix;
    const primary = this.brokers.find(({ processId }) => processId.suffix === suffix);
    if (primary === undefined) throw new HarnessError("request-failed", `${journal} has no primary`);
    return primary;
  }

  /** Keeps the folders of all when the cluster stops: see `keep` of the brokers. */
  async keep(why: string): Promise<void> {
    if (!this.#keepFolder) process.stderr.write(`the fragments of ${why} are in ${this.fileRoot}\n`);
    this.#keepFolder = true;
    await Promise.all(this.brokers.map((broker) => broker.keep(why)));
  }

  /** All brokers, by SIGKILL. More than one call is fine. */
  async stop(): Promise<void> {
    await Promise.all(this.brokers.map((broker) => broker.stop()));
    if (!this.#keepFolder) await rm(this.#folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #first(): GazetteBroker {
    const first = this.brokers[0];
    if (first === undefined) throw new HarnessError("stopped", "a cluster without brokers");
    return first;
  }

  #running(): GazetteBroker {
    return this.brokers.find((broker) => broker.running) ?? this.#first();
  }
}

/** Builds the broker and gazctl, for hooks. @throws HarnessError "missing-server", "build-failed" */
export async function buildGazette(options: { readonly signal?: AbortSignal } = {}): Promise<{
  readonly gazette: string;
  readonly gazctl: string;
}> {
  // One after the other: they are the same code but for main, so that the second takes seconds.
  const gazette = await buildGoServer(gazetteBuild, options);
  return { gazette, gazctl: await buildGoServer(gazctlBuild, options) };
}

/**
 * Builds Gazette if it was not built before, and starts an empty cluster; every broker serves when this returns.
 * It is a cluster of its own in etcd, by a prefix that no other has. A broker that was killed comes back by `restart`, at once.
 * @throws HarnessError "missing-server", "build-failed", "exited", "not-ready"
 */
export async function startGazette(options: GazetteOptions): Promise<GazetteCluster> {
  const { etcd, test, fileRoot, authKeys, zones = ["local"], brokers: count = 1, ...rest } = options;
  const { gazette, gazctl } = await buildGazette({ signal: options.signal });
  const folder = await mkdtemp(join(tmpdir(), "x-harness-gz-"));
  const root = fileRoot ?? join(folder, "fragments");
  await mkdir(root, { recursive: true });
  const token = randomUUID().slice(0, 8);
  const brokers = Array.from({ length: count }, (_, index) => {
    const settings = {
      program: gazette,
      id: `broker-${index}-${token}`,
      zone: zones[index % zones.length] ?? "local",
      etcd,
      etcdPrefix: `/gazette/${token}`,
      socketPath: options.listen === "unix" ? socketPathIn(folder, index) : undefined,
      fileRoot: root,
      fileOnly: options.fileOnly ?? false,
      authKeys,
      tls: options.tls,
      leaseSeconds: options.leaseSeconds ?? 5,
      args: options.args ?? [],
      env: options.env ?? {},
    };
    // To hand journals over takes less, and a broker that has nobody to hand them to would wait for ever.
    return new GazetteBroker(settings, { stopWithinMs: 2_000, ...rest });
  });
  const cluster = new GazetteCluster({ brokers, fileRoot: root, authKeys, tls: options.tls, gazctl, folder });
  const results = await Promise.allSettled(brokers.map((broker) => broker.start()));
  const failure = results.find(({ status }) => status === "rejected");
  if (failure !== undefined) {
    await cluster.stop();
    throw (failure as PromiseRejectedResult).reason; // what `find` looked for
  }
  test?.onTestFinished(async () => {
    if (test.task.result?.state === "fail") await cluster.keep(`"${test.task.name}", which failed`);
    await cluster.stop();
  });
  return cluster;
}
