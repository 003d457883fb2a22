import { setTimeout as pause } from "node:timers/promises";
import { createFanout, type Rpc } from "@x/fanout";
import type { BenchContext, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { makePoints, makeReplicas, type Replica } from "./views.js";

const LOSER_MS = 3_000;
const HEDGE_AFTER_MS = 5;
const CALLS_IN_WINDOW = 10;

/** From the last point's answer to the end of the caller's loop, while the request that lost goes on and hears no signal. */
export async function releaseRows(context: BenchContext): Promise<readonly Row[]> {
  const windows = context.quick ? 1 : 5;
  const views = makeReplicas(1, 2);
  const points = makePoints(1);
  const settled: Promise<void>[] = [];
  const worst: number[] = [];
  const release = async (): Promise<number> => {
    // A new one for each call: one that knows the loser would not begin with it.
    const fanout = createFanout<Replica>({
      serverOf: ({ name }) => name,
      hedge: { afterMs: HEDGE_AFTER_MS },
    });
    let requests = 0;
    let satisfiedAt = Number.NaN;
    const rpc: Rpc<Replica, string> = async () => {
      requests += 1;
      if (requests === 1) {
        await pause(LOSER_MS);
        return "too late";
      }
      await pause(1);
      satisfiedAt = performance.now();
      return "answer";
    };
    const call = fanout.call(points, views, rpc);
    settled.push(call.settled);
    for await (const { result } of call) if (result !== "answer") throw new Error("the loser has won");
    return performance.now() - satisfiedAt;
  };
  for (let window = -1; window < windows; window++) {
    context.signal.throwIfAborted();
    const figures: number[] = [];
    for (let call = 0; call < CALLS_IN_WINDOW; call++) figures.push(await release());
    if (window >= 0) worst.push(Math.max(...figures));
  }
  await Promise.all(settled);
  return [
    toRow({
      bench: "fanout",
      metric: `release of the caller, worst of ${CALLS_IN_WINDOW}, with a loser that goes on for 3 s`,
      unit: "ms",
      better: "lower",
      ours: worst,
      goal: { text: "<= 1 ms", atMost: 1 },
    }),
  ];
}
