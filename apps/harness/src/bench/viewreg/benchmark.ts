import type { BenchContext, Benchmark, Goal, Report, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { etcdReaction, reactions, rollingRestart } from "./processes.js";
import { capped, falseEjections, flapping, lookups, startUp, transitions } from "./simulated-rows.js";

const bench = "viewreg";

export const viewregBenchmark: Benchmark = {
  name: bench,
  about: "What a registry costs, and how soon it is right.",
  readmes: ["packages/viewreg/README.md"],
  run: measure,
};

async function measure(context: BenchContext): Promise<Report> {
  const rows: Row[] = [];
  const notes: string[] = [];
  let failed = false;
  const parts: readonly (readonly [string, (context: BenchContext) => Promise<readonly Row[]>])[] = [
    ["transitions", transitions],
    ["lookups", lookups],
    ["start-up", startUp],
    ["false ejections", falseEjections],
    ["cap on probes", capped],
    ["flapping", flapping],
    ["reactions", realReactions],
    ["etcd", etcd],
    ["rolling restart", (own) => rolling(own, notes)],
  ];
  for (const [name, run] of parts) {
    if (context.only !== undefined && !name.includes(context.only)) continue;
    context.say(name);
    try {
      rows.push(...(await run(context)));
    } catch (error) {
      context.signal.throwIfAborted();
      failed = true;
      notes.push(`${name} could not be measured: ${String(error)}`);
    }
  }
  return {
    rows,
    setup: [
      "Costs, false ejections and flapping: servers without a network in simulated time, so that the figures are the registry's own.",
      "Transitions: 50 servers chosen at random lose their connection, and are connected, asked and well again; nobody else is probed meanwhile.",
      "Reactions: real processes on loopback, the registry with its defaults, from the signal to the change of the healthy set.",
      "Rolling restart: 20 servers in 10 processes, ten partitions with two servers each, four callers through `@x/fanout`.",
      "There is no peer: clients of grpc-js balance over connections (`pick_first`, `round_robin`) and check no health.",
    ],
    notes,
    failed,
  };
}

async function realReactions({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const windows = quick ? 1 : 5;
  const seen = [];
  for (let window = 0; window < windows; window++) seen.push(await reactions(signal));
  const row = (metric: string, ours: readonly number[], goal?: Goal): Row =>
    toRow({ bench, metric, unit: "ms", better: "lower", ours, goal });
  const second = { text: "within 1 s", atMost: 1_000 };
  return [
    row(
      "a stopped server (SIGSTOP) is out",
      seen.map(({ stoppedMs }) => stoppedMs),
      second,
    ),
    row(
      "it is back after SIGCONT",
      seen.map(({ continuedMs }) => continuedMs),
      second,
    ),
    row(
      "a killed server (SIGKILL) is out",
      seen.map(({ killedMs }) => killedMs),
      { text: "within 100 ms", atMost: 100 },
    ),
    row(
      "it is back, once it listens again",
      seen.map(({ restartedMs }) => restartedMs),
    ),
  ];
}

async function etcd({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const ours: number[] = [];
  for (let window = 0; window < (quick ? 1 : 3); window++) ours.push(await etcdReaction(signal));
  return [
    toRow({
      bench,
      metric: "etcd, 3 members: one paused and one killed are out",
      unit: "ms",
      better: "lower",
      ours,
      goal: { text: "within 1 s", atMost: 1_000 },
    }),
  ];
}

async function rolling({ quick, signal }: BenchContext, notes: string[]): Promise<readonly Row[]> {
  const { calls, failed, firstFailure } = await rollingRestart({ processes: quick ? 1 : 10, signal });
  notes.push(
    `rolling restart: ${calls.toLocaleString("en-US")} calls of ten points each were made meanwhile`,
  );
  if (firstFailure !== undefined)
    notes.push(`the first failed call of the rolling restart: ${String(firstFailure)}`);
  return [
    toRow({
      bench,
      metric: "rolling restart: failed calls",
      unit: "",
      better: "lower",
      ours: [failed],
      goal: { text: "none", atMost: 0 },
    }),
  ];
}
