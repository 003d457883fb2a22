import { createFanout, type PointValue, type Rpc } from "@x/fanout";
import type { BenchContext, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { makePoints, makeReplicas, type Replica } from "./views.js";

const BENCH = "fanout";
export const RANGES = 99;
export const REPLICAS = 3;
const WINDOWS = { full: { count: 7, ms: 300 }, quick: { count: 2, ms: 30 } } as const;

interface Task {
  readonly points: number;
  /** Makes one call, and throws unless each point was delivered once. */
  run(): Promise<void>;
}

/** Planning and delivering, without anything that takes time behind it. */
export async function pointRows(context: BenchContext): Promise<readonly Row[]> {
  const views = makeReplicas(RANGES, REPLICAS);
  const tasks = [
    wholeRequests(1_000, views),
    wholeRequests(10_000, views),
    wholeRequests(100_000, views),
    perPoint(10_000, views),
  ];
  const [thousand = [], tenThousand = [], most = [], single = []] = await nsPerPoint(tasks, context);
  const common = { bench: BENCH, unit: "ns/point", better: "lower" } as const;
  return [
    toRow({ ...common, metric: "plan and deliver 1,000 points", ours: thousand }),
    toRow({
      ...common,
      metric: "plan and deliver 10,000 points",
      ours: tenThousand,
      goal: { text: "<= 194 ns/point", atMost: 194 },
    }),
    toRow({ ...common, metric: "plan and deliver 100,000 points", ours: most }),
    toRow({
      bench: BENCH,
      metric: "a point of 100,000 to one of 1,000",
      unit: "x",
      better: "lower",
      ours: most.map((ns, window) => ns / thousand[window]!),
      goal: { text: "<= 1.3x", atMost: 1.3 },
    }),
    toRow({ ...common, metric: "plan and deliver 10,000 points, perPoint", ours: single }),
  ];
}

function wholeRequests(count: number, views: readonly Replica[]): Task {
  const points = makePoints(count);
  const fanout = createFanout<Replica>();
  const answer = Promise.resolve("answer");
  const rpc: Rpc<Replica, string> = () => answer;
  return {
    points: count,
    async run() {
      let delivered = 0;
      for await (const { offsets } of fanout.call(points, views, rpc)) delivered += offsets.length;
      if (delivered !== count) throw new Error(`${delivered} of ${count} points were delivered`);
    },
  };
}

function perPoint(count: number, views: readonly Replica[]): Task {
  const points = makePoints(count);
  const fanout = createFanout<Replica>();
  const rpc: Rpc<Replica, PointValue<string>> = async function* (_view, offsets) {
    for (const offset of offsets) yield { offset, value: "answer" };
  };
  return {
    points: count,
    async run() {
      let delivered = 0;
      for await (const { offsets } of fanout.call(points, views, rpc, { perPoint: true }))
        delivered += offsets.length;
      if (delivered !== count) throw new Error(`${delivered} of ${count} points were delivered`);
    },
  };
}

/** Window by window, in which the tasks take turns. The first round is not counted. */
async function nsPerPoint(tasks: readonly Task[], context: BenchContext): Promise<readonly number[][]> {
  const windows = context.quick ? WINDOWS.quick : WINDOWS.full;
  const figures: number[][] = tasks.map(() => []);
  for (let round = -1; round < windows.count; round++) {
    for (const [index, { points, run }] of tasks.entries()) {
      context.signal.throwIfAborted();
      const start = performance.now();
      let calls = 0;
      let elapsedMs = 0;
      while (elapsedMs < windows.ms) {
        await run();
        calls += 1;
        elapsedMs = performance.now() - start;
      }
      if (round >= 0) figures[index]!.push((elapsedMs * 1e6) / (calls * points));
    }
  }
  return figures;
}
