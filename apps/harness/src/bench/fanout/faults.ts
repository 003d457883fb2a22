import { setImmediate } from "node:timers/promises";
import { createFanout, type Fanout, FanoutError, type Rpc } from "@x/fanout";
import type { BenchContext, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { makePoints, makeReplicas, type Replica, unavailable } from "./views.js";

const BENCH = "fanout";
const RANGES = 2;
const REPLICAS = 3;
const CALLERS = 50;
const RATIO = 0.02;

export async function faultRows(context: BenchContext): Promise<readonly Row[]> {
  return [
    toRow({
      bench: BENCH,
      metric: "all servers down: requests for a point",
      unit: "requests",
      better: "lower",
      ours: await whenAllAreDown(context.quick ? 5_000 : 100_000, context),
      goal: { text: "<= 1.02", atMost: 1.02 },
    }),
    toRow({
      bench: BENCH,
      metric: "one of three replicas killed: failed calls",
      unit: "calls",
      better: "lower",
      ours: await whenOneIsKilled(context.quick ? 1_000 : 10_000, context),
      goal: { text: "0", atMost: 0 },
    }),
  ];
}

/** Calls of one point each, after others have used up the burst. */
async function whenAllAreDown(calls: number, context: BenchContext): Promise<readonly number[]> {
  const views = makeReplicas(RANGES, REPLICAS);
  const fanout = createFanout<Replica>({ serverOf: ({ name }) => name, budget: { ratio: RATIO } });
  let requests = 0;
  const rpc: Rpc<Replica, never> = () => {
    requests += 1;
    return Promise.reject(unavailable());
  };
  while (fanout.stats().tokens >= 1) await makeCalls(100, { fanout, views, rpc }, context);
  requests = 0;
  const { failed } = await makeCalls(calls, { fanout, views, rpc }, context);
  if (failed !== calls) throw new Error(`${calls - failed} calls succeeded with all servers down`);
  return [requests / calls];
}

/** A replica of each range refuses everything after a quarter of the calls. */
async function whenOneIsKilled(calls: number, context: BenchContext): Promise<readonly number[]> {
  const windows: number[] = [];
  for (let window = 0; window < (context.quick ? 1 : 3); window++) {
    const views = makeReplicas(RANGES, REPLICAS);
    const fanout = createFanout<Replica>({ serverOf: ({ name }) => name });
    let requests = 0;
    let refused = 0;
    const rpc: Rpc<Replica, string> = async ({ name }) => {
      requests += 1;
      const killed = requests > calls / 4 && name.endsWith("/0");
      await setImmediate();
      if (!killed) return "answer";
      refused += 1;
      throw unavailable();
    };
    const { failed } = await makeCalls(calls, { fanout, views, rpc }, context);
    if (refused === 0) throw new Error("no request went to the killed replicas");
    windows.push(failed);
  }
  return windows;
}

async function makeCalls(
  count: number,
  target: {
    readonly fanout: Fanout<Replica, unknown>;
    readonly views: readonly Replica[];
    readonly rpc: Rpc<Replica, string>;
  },
  { signal }: BenchContext,
): Promise<{ readonly failed: number }> {
  const points = makePoints(1_024);
  let next = 0;
  let failed = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      signal.throwIfAborted();
      const point = points[next++ % points.length]!;
      try {
        for await (const _ of target.fanout.call([point], target.views, target.rpc));
      } catch (error) {
        if (!(error instanceof FanoutError && error.code === "failed")) throw error;
        failed += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return { failed };
}
