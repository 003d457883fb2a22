import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  runGazettePeer,
  runProgram,
  startEtcd,
  startGazette,
} from "../../servers/index.js";
import { argumentsOf, type Call, type Figures, parseFigures } from "./call.js";
import type { Part, Scale } from "./plan.js";

/** Built, also for those who run from the sources: Node cannot run those. */
const program = fileURLToPath(new URL("../../../dist/bench/journal/client-main.js", import.meta.url));
/** What is slower than this hangs. */
const PATIENCE_MS = 60_000;
const DIRECT_WITHIN_MS = 20_000;

export type Side = "ours" | "go";

export interface SidesOptions {
  /** Of the Node that runs our client. */
  readonly nodeArgs: readonly string[];
  readonly signal: AbortSignal;
}

/** One broker, its journals, and a program of each client that runs against it for one window. */
export class Sides implements AsyncDisposable {
  readonly #etcd: EtcdServer;
  readonly #gazette: GazetteCluster;
  readonly #nodeArgs: readonly string[];
  readonly #signal: AbortSignal;
  #journals = 0;

  private constructor(
    servers: { readonly etcd: EtcdServer; readonly gazette: GazetteCluster },
    { nodeArgs, signal }: SidesOptions,
  ) {
    this.#etcd = servers.etcd;
    this.#gazette = servers.gazette;
    this.#nodeArgs = nodeArgs;
    this.#signal = signal;
  }

  static async start(options: SidesOptions): Promise<Sides> {
    const { signal } = options;
    // One after the other: each takes the whole machine.
    await buildGoServer(etcdBuild, { signal });
    await buildGazette({ signal });
    await buildGoServer(gazettePeerBuild, { signal });
    const etcd = await startEtcd({ signal });
    try {
      return new Sides({ etcd, gazette: await startGazette({ etcd, signal }) }, options);
    } catch (error) {
      await etcd.stop();
      throw error;
    }
  }

  /** One window of one side, in a new process; ours by the given `node`, or by the one that runs this. */
  async run(
    side: Side,
    call: Call,
    { node = process.execPath }: { readonly node?: string } = {},
  ): Promise<Figures> {
    const { into, ...common } = call;
    const args = [...argumentsOf(side === "go" ? common : call)];
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(PATIENCE_MS)]);
    const { endpoint } = this.#gazette;
    const { stdout } =
      side === "go"
        ? await runGazettePeer(["bench", ...args], { gazette: { endpoint }, signal })
        : await runProgram(node, {
            args: [...this.#nodeArgs, program, ...args, "-endpoint", endpoint],
            signal,
          });
    return parseFigures(stdout.toString("utf8"));
  }

  /** A journal for one window, taken away when it is over: what it holds is not to be written to disk in the windows of others. */
  async withNewJournal<T>(use: (journal: string) => Promise<T>): Promise<T> {
    const journal = this.#nextName();
    await this.#gazette.createJournal({ name: journal });
    try {
      return await use(journal);
    } finally {
      await this.#gazette.deleteJournals([journal]);
    }
  }

  /** The same for many windows, with content, and with the root of the store if its fragments are to be read directly. */
  async withFilledJournal(
    filled: NonNullable<Part["filled"]>,
    { fragmentBytes }: Scale,
    use: (where: { readonly journal: string; readonly fileRoot?: string }) => Promise<void>,
  ): Promise<void> {
    const { codec, bytes, direct } = filled;
    const journal = this.#nextName();
    const { fileRoot } = this.#gazette;
    await this.#gazette.createJournal({
      name: journal,
      codec,
      fragmentBytes,
      ...(direct && { refreshSeconds: 1 }),
    });
    try {
      for (let left = bytes; left > 0; left -= fragmentBytes) {
        await this.run("go", { mode: "appender", journal, bytes: Math.min(left, fragmentBytes) });
      }
      if (!direct) return await use({ journal });
      // The next append closes a full fragment, which then is persisted.
      await this.run("go", { mode: "append-sync", journal, count: 2, size: 100 });
      await this.#untilDirect({ mode: "fragments", journal, bytes, fileRoot });
      await use({ journal, fileRoot });
    } finally {
      await this.#gazette.deleteJournals([journal]);
    }
  }

  async #untilDirect(call: Call): Promise<void> {
    const deadline = performance.now() + DIRECT_WITHIN_MS;
    for (;;) {
      const { directBytes } = await this.run("go", call);
      if (directBytes === call.bytes) return;
      if (performance.now() > deadline)
        throw new Error(`the broker told URLs of only ${directBytes} of ${call.bytes} bytes in time`);
      await pause(500, undefined, { signal: this.#signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gazette.stop();
    await this.#etcd.stop();
  }

  #nextName(): string {
    return `bench/journal-${++this.#journals}`;
  }
}
