import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  askBsPeer,
  type BsPeerFigures,
  bsPeerBuild,
  buildGoServer,
  runProgram,
  startToxiproxy,
  startVersitygw,
  type ToxicProxy,
  type ToxiproxyServer,
  toxiproxyBuild,
  type VersitygwServer,
  versitygwBuild,
} from "../../servers/index.js";
import { type Call, type Figures, opsOf, type Places, parseFigures } from "./call.js";
import { DISTANCE_MS, type OtherSide } from "./plan.js";

/** Built, also for those who run from the sources: Node cannot run those. */
const program = fileURLToPath(new URL("../../../dist/bench/blobs/client-main.js", import.meta.url));
/** What is slower than this hangs. */
const PATIENCE_MS = 120_000;
const BUCKET = "bench";

export interface SidesOptions {
  /** Of the Node that runs our own program. */
  readonly nodeArgs: readonly string[];
  readonly signal: AbortSignal;
}

interface Parts {
  readonly folder: string;
  readonly s3: VersitygwServer;
  readonly toxiproxy: ToxiproxyServer;
  /** To the S3 server. */
  readonly distance: ToxicProxy;
}

/** A folder on disk, an S3 server and a slow way to it, and programs that run there for one window. */
export class Sides implements AsyncDisposable {
  readonly #parts: Parts;
  readonly #nodeArgs: readonly string[];
  readonly #signal: AbortSignal;
  #count = 0;

  private constructor(parts: Parts, { nodeArgs, signal }: SidesOptions) {
    this.#parts = parts;
    this.#nodeArgs = nodeArgs;
    this.#signal = signal;
  }

  static async start(options: SidesOptions): Promise<Sides> {
    const { signal } = options;
    // One after the other: each takes the whole machine.
    for (const server of [versitygwBuild, toxiproxyBuild, bsPeerBuild])
      await buildGoServer(server, { signal });
    const folder = await mkdtemp(join(tmpdir(), "x-bench-blobs-"));
    const servers: { stop(): Promise<void> }[] = [];
    try {
      const s3 = await startVersitygw({ signal });
      servers.push(s3);
      await s3.createBucket(BUCKET, { signal });
      const toxiproxy = await startToxiproxy({ signal });
      servers.push(toxiproxy);
      const distance = await toxiproxy.proxy(s3.endpoint, { signal });
      await distance.addToxic("latency", { latency: DISTANCE_MS }, { signal });
      return new Sides({ folder, s3, toxiproxy, distance }, options);
    } catch (error) {
      for (const server of servers) await server.stop();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** One window of one side, in a new process. @throws Error also when it moved something else than it should */
  async run(side: OtherSide): Promise<Figures> {
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(PATIENCE_MS)]);
    return "bs" in side ? await this.#runBs(side, signal) : await this.#runOurs(side, signal);
  }

  async #runOurs(call: Call, signal: AbortSignal): Promise<Figures> {
    const { s3, distance } = this.#parts;
    const { endpoint, region, accessKey, secretKey } = s3;
    const places: Places = {
      folder: await this.#newFolder(),
      s3: {
        endpoint,
        distantEndpoint: distance.endpoint,
        region,
        accessKey,
        secretKey,
        bucket: BUCKET,
      },
    };
    const { stdout } = await runProgram(process.execPath, {
      args: [...this.#nodeArgs, program, JSON.stringify(call), JSON.stringify(places)],
      env:
        call.threads === undefined
          ? process.env
          : { ...process.env, UV_THREADPOOL_SIZE: String(call.threads) },
      signal,
    });
    const figures = parseFigures(stdout.toString("utf8"));
    if (figures.ops !== opsOf(call)) throw new Error(`${figures.ops} of ${opsOf(call)} blobs were moved`);
    return figures;
  }

  async #runBs({ bs, inFolder = false }: Exclude<OtherSide, Call>, signal: AbortSignal): Promise<Figures> {
    const where = inFolder ? ["-dir", await this.#newFolder()] : [];
    const [figures] = await askBsPeer<BsPeerFigures>(["bench", ...bs, ...where], { signal });
    if (figures === undefined) throw new Error("bs-peer printed no figures");
    return figures;
  }

  /** What the windows left on disk goes at the very end: ext4 without a journal looks for minutes at each inode that was freed, whenever it makes a file. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.toxiproxy.stop();
    await this.#parts.s3.stop();
    await rm(this.#parts.folder, { recursive: true, force: true });
  }

  async #newFolder(): Promise<string> {
    const folder = join(this.#parts.folder, String(++this.#count));
    await mkdir(folder, { recursive: true });
    return folder;
  }
}
