import { setImmediate } from "node:timers/promises";
import type { BenchContext, Goal, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { fullTiming, heapGrowth, inTurns, quickTiming } from "../space/windows.js";
import { type SimulatedConnection, SimulatedFleet } from "./simulated.js";

const bench = "viewreg";

/** A seeded generator (Vigna, splitmix32 as published), so that two runs see the same chances. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/**
 * What it costs that a server is lost or is well again, all that follows from it included, with many servers and with few: servers chosen
 * at random lose their connection, and get it and are asked and judged again. Nobody else's probe is due meanwhile, which would be
 * another cost.
 */
export async function transitions({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const windows = quick ? 2 : 9;
  const rounds = quick ? 2 : 20;
  const flips = 50;
  const sizes = [100, 10_000] as const;
  const few: number[] = [];
  const many: number[] = [];
  const fleets = await Promise.all(
    sizes.map(async (size) => {
      const fleet = new SimulatedFleet(size, seeded(1));
      // Without the cap, under which those that come back would wait for long; without damping, which would keep them out.
      const registry = fleet.open({
        judgement: { damping: false },
        probing: { maxProbesPerSecond: 1_000_000, intervalMs: 3_600_000 },
      });
      await fleet.allHealthy(registry);
      return { size, fleet, registry };
    }),
  );
  const random = seeded(10);
  const round = async ({ size, fleet, registry }: (typeof fleets)[number]): Promise<number> => {
    const chosen = new Set<SimulatedConnection>();
    while (chosen.size < flips) chosen.add(fleet.connections[Math.floor(size * random())]!);
    const start = performance.now();
    for (const connection of chosen) connection.become("failed");
    await setImmediate();
    if (registry.summary().healthy !== size - flips) throw new Error("the servers are not out");
    for (const connection of chosen) connection.become("ready");
    await fleet.clock.advance(100);
    if (registry.summary().healthy !== size) throw new Error("the servers are not back");
    return performance.now() - start;
  };
  // The first window is for the engine.
  for (let window = -1; window < windows; window++) {
    const sums = new Map(fleets.map(({ size }) => [size, 0]));
    for (let turn = 0; turn < rounds; turn++) {
      signal.throwIfAborted();
      for (const fleet of fleets) sums.set(fleet.size, (sums.get(fleet.size) ?? 0) + (await round(fleet)));
    }
    if (window < 0) continue;
    const each = (size: (typeof sizes)[number]): number =>
      (1_000 * (sums.get(size) ?? Number.NaN)) / (2 * flips * rounds);
    few.push(each(100));
    many.push(each(10_000));
  }
  for (const { registry } of fleets) await registry[Symbol.asyncDispose]();
  const row = (metric: string, ours: readonly number[], unit = "us"): Row =>
    toRow({ bench, metric, unit, better: "lower", ours });
  return [
    row("a health transition, 100 servers", few),
    row("a health transition, 10,000 servers", many),
    toRow({
      bench,
      metric: "a health transition, 10,000 servers to 100",
      unit: "x",
      better: "lower",
      ours: many.map((figure, index) => figure / (few[index] ?? Number.NaN)),
      goal: { text: "at most 2x", atMost: 2 },
    }),
  ];
}

/** `visitViewsFor` among 10,000 servers, five of which have the point. */
export async function lookups(context: BenchContext): Promise<readonly Row[]> {
  const fleet = new SimulatedFleet(10_000, seeded(2));
  const registry = fleet.open();
  await fleet.allHealthy(registry);
  const random = seeded(3);
  const points = Array.from({ length: 4_096 }, () => BigInt(Math.floor(random() * 2 ** 32)) << 32n);
  let seen = 0;
  const visit = (): void => {
    seen++;
  };
  const repeat = (count: number): number => {
    for (let index = 0; index < count; index++) registry.visitViewsFor(points[index & 4_095]!, visit);
    return seen;
  };
  const timing = context.quick ? quickTiming : fullTiming;
  const [nanoseconds = []] = await inTurns([repeat], timing, context);
  const bytes = heapGrowth(repeat, 20_000, context.quick ? 5 : 21);
  await registry[Symbol.asyncDispose]();
  return [
    toRow({
      bench,
      metric: "`visitViewsFor`, 10,000 servers",
      unit: "ns",
      better: "lower",
      ours: nanoseconds,
      goal: { text: "at most 1 us", atMost: 1_000 },
    }),
    toRow({
      bench,
      metric: "`visitViewsFor`, heap growth per call",
      unit: "B",
      better: "lower",
      ours: bytes,
      goal: { text: "none (below 1)", atMost: 1 },
    }),
  ];
}

/** From `open` until all servers are healthy, without the time that the simulated clock stands for. */
export async function startUp({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const windows = quick ? 1 : 5;
  const sizes = [1_000, 10_000] as const;
  const small: number[] = [];
  const large: number[] = [];
  for (let round = -1; round < windows; round++) {
    for (const size of sizes) {
      signal.throwIfAborted();
      const fleet = new SimulatedFleet(size, seeded(4));
      const start = performance.now();
      // Without a cap, so that both make the same number of probes for each server.
      const registry = fleet.open({ probing: { maxProbesPerSecond: 1_000_000 } });
      await fleet.allHealthy(registry);
      const elapsed = performance.now() - start;
      if (round >= 0) (size === 1_000 ? small : large).push((1_000 * elapsed) / size);
      await registry[Symbol.asyncDispose]();
    }
  }
  return [
    toRow({ bench, metric: "start-up of 10,000 servers, each", unit: "us", better: "lower", ours: large }),
    toRow({
      bench,
      metric: "start-up, each of 10,000 servers to each of 1,000",
      unit: "x",
      better: "lower",
      ours: large.map((figure, index) => figure / (small[index] ?? Number.NaN)),
      goal: { text: "linear (at most 2x)", atMost: 2 },
    }),
  ];
}

/** Servers that are well, and answer late now and then. */
export async function falseEjections({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const heartbeats = quick ? 10_000 : 1_000_000;
  const random = seeded(5);
  const fleet = new SimulatedFleet(100, seeded(6));
  let answered = 0;
  let unhealthy = 0;
  fleet.answerAfterMs = () => {
    answered++;
    return 1 + (random() < 0.3 ? 300 * random() : 0);
  };
  const registry = fleet.open({
    metrics: { transitions: { inc: ({ to }, by = 1) => (unhealthy += to === "unhealthy" ? by : 0) } },
  });
  await fleet.allHealthy(registry);
  answered = 0;
  while (answered < heartbeats) {
    signal.throwIfAborted();
    await fleet.clock.advance(10_000);
  }
  // Closing takes all servers out of the healthy set, which is no ejection.
  const ejections = unhealthy;
  await registry[Symbol.asyncDispose]();
  return [
    toRow({
      bench,
      metric: `false ejections in ${heartbeats.toLocaleString("en-US")} heartbeats, 30% of them late by 0-300 ms`,
      unit: "",
      better: "lower",
      ours: [ejections],
      goal: { text: "none", atMost: 0 },
    }),
  ];
}

/** The defaults with as many servers as are probed each 250 ms, and with forty times as many, which the cap on probes slows down. */
export async function capped({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const size of [250, 10_000]) {
    const fleet = new SimulatedFleet(size, seeded(8));
    const random = seeded(9);
    fleet.answerAfterMs = () => 1 + (random() < 0.3 ? 300 * random() : 0);
    const registry = fleet.open();
    await fleet.allHealthy(registry);
    const { version } = registry;
    for (let second = 0; second < (quick ? 20 : 60); second++) {
      signal.throwIfAborted();
      await fleet.clock.advance(1_000);
    }
    const changes = registry.version - version;
    const { noticeMs } = registry.summary();
    const outMs: number[] = [];
    for (let index = 0; index < (quick ? 1 : 9); index++) {
      signal.throwIfAborted();
      await fleet.clock.advance(137);
      fleet.silent.add(Math.floor((size * (index + 1)) / 10));
      const healthy = size - fleet.silent.size;
      const start = fleet.clock.monotonicMs();
      while (registry.summary().healthy > healthy) await fleet.clock.advance(1);
      outMs.push(fleet.clock.monotonicMs() - start);
    }
    await registry[Symbol.asyncDispose]();
    const who = `${size.toLocaleString("en-US")} servers`;
    const row = (metric: string, ours: readonly number[], unit: string, goal: Goal): Row =>
      toRow({ bench, metric, unit, better: "lower", ours, goal });
    rows.push(
      row(`${who}, all well: changes in a minute`, [changes], "", { text: "none", atMost: 0 }),
      row(`${who}: one that stops is out, the slowest of nine`, [Math.max(...outMs)], "ms", {
        text: `within ${noticeMs.toLocaleString("en-US")} ms, as \`summary()\` says`,
        atMost: noticeMs,
      }),
    );
  }
  return rows;
}

/** One server in ten loses its connection every second and has it back half a second later. */
export async function flapping({ quick, signal }: BenchContext): Promise<readonly Row[]> {
  const seconds = quick ? 60 : 600;
  const fleet = new SimulatedFleet(100, seeded(7));
  let told = 0;
  const registry = fleet.open({
    metrics: { transitions: { inc: (_labels, by = 1) => (told += by) } },
  });
  await fleet.allHealthy(registry);
  const before = registry.version;
  told = 0;
  let raw = 0;
  for (let second = 0; second < seconds; second++) {
    signal.throwIfAborted();
    for (const state of ["failed", "ready"] as const) {
      for (let index = 0; index < 100; index += 10) {
        fleet.connections[index]?.become(state);
        raw++;
      }
      await fleet.clock.advance(500);
    }
  }
  const changes = Math.max(registry.version - before, told);
  await registry[Symbol.asyncDispose]();
  return [
    toRow({
      bench,
      metric: "flapping: changes of the registry to raw transitions",
      unit: "",
      better: "lower",
      ours: [changes / raw],
      goal: { text: "at most 1/20", atMost: 1 / 20 },
    }),
  ];
}
