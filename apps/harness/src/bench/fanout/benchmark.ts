import type { BenchContext, Benchmark, Report, Row } from "../benchmark.js";
import { faultRows } from "./faults.js";
import { pointRows, RANGES, REPLICAS } from "./points.js";
import { releaseRows } from "./release.js";
import { tailRows } from "./tail.js";

export const fanoutBenchmark: Benchmark = {
  name: "fanout",
  about:
    "Calls over many servers: what a point costs, what an outage costs, and what is left of a slow server.",
  readmes: ["packages/fanout/README.md"],
  run: measure,
};

interface Part {
  readonly rows: readonly Row[];
  readonly setup?: readonly string[];
}

async function measure(context: BenchContext): Promise<Report> {
  const rows: Row[] = [];
  const setup: string[] = [
    `Plan and deliver: hashes over ${RANGES} even ranges of \`hash64\` x ${REPLICAS} replicas, an rpc that is answered at once, default options; with \`perPoint\` it is a generator. 1,000 points are 99 requests of about 10, and 100,000 about two for each range, so a point of the many has less of a request to bear.`,
    "Outages are of rpcs in this process that reject with gRPC's UNAVAILABLE.",
  ];
  const parts: readonly (readonly [string, () => Promise<Part>])[] = [
    ["plan and deliver", async () => ({ rows: await pointRows(context) })],
    ["outages", async () => ({ rows: await faultRows(context) })],
    ["release", async () => ({ rows: await releaseRows(context) })],
    ["tail latency", () => tailRows(context)],
  ];
  for (const [name, run] of parts) {
    if (context.only !== undefined && !name.includes(context.only)) continue;
    context.say(name);
    const part = await run();
    rows.push(...part.rows);
    setup.push(...(part.setup ?? []));
  }
  return { rows, setup, notes: [], failed: false };
}
