import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import { evenPartitions, hash64 } from "@x/space";
import { type NodeProcess, startProcess } from "../../servers/index.js";
import type { BenchContext, Row } from "../benchmark.js";
import { type Measured, toRow } from "../rows.js";
import { percentile } from "../stats.js";
import { LookupClient } from "./grpc-lookup.js";
import {
  BUDGET_RATIO,
  DEADLINE_MS,
  fixedHedge,
  grpcHedging,
  isFailure,
  type LookupServer,
  ours,
  plainRetry,
  type Strategy,
  unhedged,
} from "./strategies.js";
import { makePoints } from "./views.js";

const BENCH = "fanout";
const REPLICAS = 3;
const CALLS_PER_SECOND = 300;
const program = fileURLToPath(new URL("./server-main.js", import.meta.url));

interface Plan {
  readonly ranges: number;
  readonly windows: number;
  readonly windowMs: number;
  /** Before each window, with all servers well: long enough for a full budget to be used up. */
  readonly warmUpMs: number;
  /** How long calls are made while a server is killed. */
  readonly killMs: number;
}

const full: Plan = { ranges: 6, windows: 5, windowMs: 13_500, warmUpMs: 2_000, killMs: 8_000 };
const quick: Plan = { ranges: 2, windows: 1, windowMs: 500, warmUpMs: 300, killMs: 1_000 };

/** What one strategy showed, window by window. */
interface Figures {
  readonly name: string;
  readonly p50: number[];
  readonly p99: number[];
  readonly extraPercent: number[];
  readonly failed: number[];
  /** What was left of the budget when the window began, for who has one. */
  readonly tokens: number[];
}

/** The latency of single calls over real servers, of which one is stopped: its connections stand, and it says nothing. */
export async function tailRows(
  context: BenchContext,
): Promise<{ readonly rows: readonly Row[]; readonly setup: readonly string[] }> {
  const plan = context.quick ? quick : full;
  const processes: NodeProcess[] = [];
  const clients: LookupClient[] = [];
  const strategies: Strategy[] = [];
  try {
    const servers = await startServers(plan.ranges, { processes, clients, context });
    const [victim] = processes;
    const bare = unhedged();
    const load = new Load(servers, context);
    await load.run(bare, 1_000);
    const delayMs = percentile((await load.run(bare, 2 * plan.warmUpMs)).latencies, 0.95);
    strategies.push(
      ours(servers, { ratio: BUDGET_RATIO }),
      plainRetry(),
      fixedHedge(),
      grpcHedging(servers, delayMs),
    );
    const healthy = newFigures("healthy");
    const measured = strategies.map(({ name }) => newFigures(name));
    for (let window = 0; window < plan.windows; window++) {
      context.say(`tail latency, window ${window + 1} of ${plan.windows}`);
      await load.measure(bare, healthy, plan.windowMs);
      for (const [index, strategy] of strategies.entries()) {
        await load.run(strategy, plan.warmUpMs);
        await load.measure(strategy, measured[index]!, plan.windowMs, victim);
      }
    }
    const killed = ours(servers);
    const calls = load.run(killed, plan.killMs);
    await pause(plan.killMs / 4);
    await victim?.kill("SIGKILL");
    const { failed, latencies } = await calls;
    const rows = [
      ...toRows(healthy, measured, servers.length),
      toRow({
        bench: BENCH,
        metric: `one of ${servers.length} server processes killed during ${latencies.length.toLocaleString("en-US")} calls: failed calls`,
        unit: "calls",
        better: "lower",
        ours: [failed],
        goal: { text: "0", atMost: 0 },
      }),
    ];
    return { rows, setup: describe(plan, { delayMs, tokens: measured[0]!.tokens }) };
  } finally {
    for (const strategy of strategies) strategy.close();
    for (const client of clients) client.close();
    await Promise.all(processes.map((server) => server.stop()));
  }
}

async function startServers(
  ranges: number,
  {
    processes,
    clients,
    context,
  }: {
    readonly processes: NodeProcess[];
    readonly clients: LookupClient[];
    readonly context: BenchContext;
  },
): Promise<readonly LookupServer[]> {
  const servers: LookupServer[] = [];
  for (const serves of evenPartitions(hash64, ranges)) {
    for (let replica = 0; replica < REPLICAS; replica++) {
      const server = await startProcess(program, {
        name: "lookup",
        ready: /^READY port=(\d+) pid=\d+$/m,
        signal: context.signal,
      });
      processes.push(server);
      const port = Number((await server.ready())[1]);
      const client = new LookupClient(`127.0.0.1:${port}`, credentials.createInsecure());
      clients.push(client);
      servers.push({ name: String(port), port, serves, client });
    }
  }
  return servers;
}

/** Calls at a steady rate, however long they take. */
class Load {
  readonly #points = makePoints(4_096);
  readonly #replicasOf: (point: bigint) => readonly LookupServer[];
  readonly #context: BenchContext;
  #next = 0;

  constructor(servers: readonly LookupServer[], context: BenchContext) {
    const partitions = evenPartitions(hash64, servers.length / REPLICAS);
    this.#context = context;
    this.#replicasOf = (point) => {
      const first = partitions.find(point) * REPLICAS;
      return servers.slice(first, first + REPLICAS);
    };
  }

  /** Latencies are from when a call was due; those that fail count with the time that it took. */
  async run(
    strategy: Strategy,
    forMs: number,
  ): Promise<{ readonly latencies: readonly number[]; readonly failed: number }> {
    const latencies: number[] = [];
    let failed = 0;
    const underWay: Promise<void>[] = [];
    const start = performance.now();
    const call = async (dueAt: number): Promise<void> => {
      const point = this.#points[this.#next++ % this.#points.length]!;
      try {
        await strategy.get(point, this.#replicasOf(point));
      } catch (error) {
        if (!isFailure(error)) throw error;
        failed += 1;
      }
      latencies.push(performance.now() - dueAt);
    };
    for (let sent = 0; ; ) {
      this.#context.signal.throwIfAborted();
      const elapsedMs = performance.now() - start;
      for (; sent * (1_000 / CALLS_PER_SECOND) <= Math.min(elapsedMs, forMs); sent++) {
        underWay.push(call(start + sent * (1_000 / CALLS_PER_SECOND)));
      }
      if (elapsedMs >= forMs) break;
      await pause(1);
    }
    await Promise.all(underWay);
    return { latencies, failed };
  }

  async measure(strategy: Strategy, figures: Figures, forMs: number, victim?: NodeProcess): Promise<void> {
    const before = await strategy.extra();
    if (strategy.tokens !== undefined) figures.tokens.push(strategy.tokens());
    await victim?.kill("SIGSTOP");
    const { latencies, failed } = await this.run(strategy, forMs).finally(() => victim?.kill("SIGCONT"));
    // It works off what came meanwhile.
    if (victim !== undefined) await pause(200);
    figures.p50.push(percentile(latencies, 0.5));
    figures.p99.push(percentile(latencies, 0.99));
    const extra = (await strategy.extra()) - before;
    figures.extraPercent.push((100 * extra) / latencies.length);
    figures.failed.push(failed);
  }
}

function newFigures(name: string): Figures {
  return { name, p50: [], p99: [], extraPercent: [], failed: [], tokens: [] };
}

function toRows(healthy: Figures, [own, ...peers]: readonly Figures[], servers: number): readonly Row[] {
  const common = { bench: BENCH, better: "lower" } as const;
  const stopped = `one of ${servers} servers stopped`;
  const rows: Row[] = [
    toRow({ ...common, metric: "p99 of a call, all servers well, no hedges", unit: "ms", ours: healthy.p99 }),
  ];
  const compare = (
    what: Pick<Measured, "metric" | "unit" | "goal">,
    figures: (of: Figures) => readonly number[],
  ): void => {
    const { goal, ...unjudged } = what;
    rows.push(toRow({ ...common, ...unjudged, ours: figures(own!), ...(goal ? { goal } : {}) }));
    for (const peer of peers) {
      rows.push(
        toRow({ ...common, ...unjudged, ours: figures(own!), peer: peer.name, theirs: figures(peer) }),
      );
    }
  };
  compare({ metric: `p50 of a call, ${stopped}`, unit: "ms" }, ({ p50 }) => p50);
  compare({ metric: `p99 of a call, ${stopped}`, unit: "ms" }, ({ p99 }) => p99);
  compare(
    {
      metric: `p99, ${stopped}, to that of all well without hedges`,
      unit: "x",
      goal: { text: "<= 1.1x", atMost: 1.1 },
    },
    ({ p99 }) => p99.map((ms, window) => ms / healthy.p99[window]!),
  );
  compare(
    {
      metric: `requests beyond one a call, ${stopped}`,
      unit: "%",
      goal: { text: "<= 2 %", atMost: 2 },
    },
    ({ extraPercent }) => extraPercent,
  );
  compare({ metric: `calls that ran out of time, ${stopped}`, unit: "calls" }, ({ failed }) => failed);
  return rows;
}

function describe(
  { ranges, windows, windowMs, warmUpMs }: Plan,
  { delayMs, tokens }: { readonly delayMs: number; readonly tokens: readonly number[] },
): readonly string[] {
  const calls = Math.round((windowMs / 1_000) * CALLS_PER_SECOND);
  return [
    `Tail: ${ranges * REPLICAS} processes with grpc-js (${ranges} ranges x ${REPLICAS} replicas), answers after 1 ms and an exponential time of 2 ms on average, ${CALLS_PER_SECOND} calls of one point a second however long they take, a deadline of ${DEADLINE_MS} ms.`,
    `Tail: ${windows} windows of ${windowMs} ms in turns, about ${calls.toLocaleString("en-US")} calls each; before each, ${warmUpMs} ms with all servers well, then one gets SIGSTOP. Ours has default options and a budget \`ratio\` of ${BUDGET_RATIO}, the others have no budget. It begins a window with the tokens that it has then (${tokens.map((left) => left.toFixed(1)).join(", ")}), and every request beyond one a call is counted.`,
    `Tail: the retry and the hedge after a fixed time begin at a random replica; grpc-js's \`hedgingPolicy\` has 2 attempts, \`round_robin\` and as its delay the p95 of the servers when well, ${delayMs.toFixed(1)} ms.`,
  ];
}
