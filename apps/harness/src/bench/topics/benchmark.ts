import type { BenchContext, Benchmark, Report, Row } from "../benchmark.js";
import { toRow } from "../rows.js";
import { ClientProcess } from "./client-process.js";
import type { Answer, Command } from "./commands.js";
import { Figures } from "./figures.js";
import { peakMemoryMb } from "./memory.js";
import {
  alonePublish,
  batchedPublish,
  consumePart,
  fullTiming,
  livePart,
  liveRates,
  memoryPart,
  plainPublish,
  quickTiming,
  type Size,
  sizes,
  type Timing,
} from "./plan.js";
import {
  labelOf,
  profileFlags,
  type System,
  type SystemName,
  startSystem,
  systemNames,
  whyMissing,
} from "./systems.js";

const BENCH = "topics";
/** The whole run; it takes less than five minutes. */
const LIMIT_MS = 15 * 60_000;

export const topicsBenchmark: Benchmark = {
  name: BENCH,
  about:
    "Topics against Redis Streams, NATS JetStream and a bare log from Node: every message is acknowledged after its bytes were synced to disk.",
  readmes: ["README.md", "packages/topic-gateway/README.md"],
  run: async (context) => {
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(LIMIT_MS)]);
    const run = new TopicsRun({ ...context, signal });
    try {
      return await run.measure();
    } finally {
      await run.stop();
    }
  },
};

interface Contender {
  readonly system: System;
  readonly client: ClientProcess;
}

class TopicsRun {
  readonly #context: BenchContext;
  readonly #timing: Timing;
  readonly #figures = new Figures(BENCH);
  readonly #memory: Row[] = [];
  readonly #notes: string[] = [];
  readonly #stops: (() => Promise<void>)[] = [];
  readonly #contenders: Contender[] = [];
  readonly #failures = new Set<string>();
  #failed = false;
  #topics = 0;

  constructor(context: BenchContext) {
    this.#context = context;
    this.#timing = context.quick ? quickTiming : fullTiming;
  }

  async measure(): Promise<Report> {
    await this.#start();
    await this.#measureMemory();
    for (const size of sizes) {
      await this.#measurePublishing(size);
      await this.#measureConsuming(size);
      await this.#measureLive(size);
    }
    const peers = systemNames.filter((name) => name !== "ours");
    return {
      rows: [...this.#figures.rows(peers), ...this.#memory],
      setup: this.#contenders.map(({ system }) => system.setup),
      notes: this.#notes,
      failed: this.#failed,
    };
  }

  /** In the reverse order of starting; whatever fails, the rest is stopped as well. */
  async stop(): Promise<void> {
    for (let stop = this.#stops.pop(); stop; stop = this.#stops.pop()) {
      await stop().catch((error: unknown) => this.#context.say(`while stopping: ${String(error)}`));
    }
  }

  async #start(): Promise<void> {
    const { signal, profileDirectory, say } = this.#context;
    for (const name of systemNames) {
      const missing = whyMissing(name);
      if (missing !== undefined) {
        this.#note(name, `not measured: ${missing}`);
        this.#failed = true;
        continue;
      }
      say(`starting ${labelOf(name)}`);
      const use = (stop: () => Promise<void>): void => void this.#stops.push(stop);
      const system = await startSystem(name, { use, profileDirectory, signal });
      const nodeArgs = name === "ours" || name === "raw" ? profileFlags(profileDirectory) : [];
      const client = await ClientProcess.open(name, system.address, { nodeArgs, signal });
      use(() => client[Symbol.asyncDispose]());
      this.#contenders.push({ system, client });
    }
  }

  /** First of all, so that all servers have held the same messages when they are looked at. */
  async #measureMemory(): Promise<void> {
    const count = this.#timing.memoryCount;
    const size = sizes[0] as Size;
    if (!this.#wants(size, memoryPart)) return;
    const part = `${memoryPart} after ${count.toLocaleString("en-US")} messages of ${size.label}`;
    await this.#useTopics();
    const totals = new Map<SystemName, number>();
    const own: Row[] = [];
    await this.#turn(part, async ({ system, client }) => {
      await this.#ask(client, { type: "fill", count, bytes: size.bytes, withinMs: 20_000 }, 20_000);
      await this.#ask(client, { type: "consume", available: count, withinMs: 20_000 }, 20_000);
      for (const { name, server } of system.processes) {
        const peak = await peakMemoryMb(server.pid);
        if (peak === undefined) continue;
        totals.set(system.name, (totals.get(system.name) ?? 0) + peak);
        const common = { bench: BENCH, unit: "MB", better: "lower" } as const;
        const whose = system.name === "ours" ? `ours: ${name}` : name;
        if (system.name === "ours") own.push(toRow({ ...common, metric: `${part}, ${whose}`, ours: [peak] }));
      }
    });
    const total = (name: SystemName): number[] => {
      const value = totals.get(name);
      return value === undefined ? [] : [value];
    };
    for (const peer of systemNames.filter((name) => name !== "ours")) {
      const metric = `${part}, all server processes`;
      const measured = { bench: BENCH, metric, unit: "MB", better: "lower", ours: total("ours") } as const;
      this.#memory.push(toRow({ ...measured, peer: labelOf(peer), theirs: total(peer) }));
    }
    this.#memory.push(...own);
  }

  async #measurePublishing(size: Size): Promise<void> {
    const { windows, uncounted, load, alone } = this.#timing;
    const parts = [plainPublish, batchedPublish].filter(({ name }) => this.#wants(size, name));
    if (parts.length > 0 || this.#wants(size, alonePublish.name)) await this.#useTopics();
    for (const part of parts) {
      const add = this.#figures.declare(size, part.name, "msg/s", "higher");
      for (let window = -uncounted; window < windows; window++) {
        await this.#turn(`${size.label}: ${part.name}`, async ({ system, client }) => {
          const { perSecond } = await this.#ask(client, {
            type: "load",
            load: part.load(size.bytes),
            window: load,
          });
          if (window >= 0 && perSecond !== undefined) add(system.name, perSecond);
        });
      }
    }
    if (!this.#wants(size, alonePublish.name)) return;
    const p50 = this.#figures.declare(size, `${alonePublish.name}, p50`, "ms", "lower");
    const p99 = this.#figures.declare(size, `${alonePublish.name}, p99`, "ms", "lower");
    for (let window = 0; window < windows; window++) {
      await this.#turn(`${size.label}: ${alonePublish.name}`, async ({ system, client }) => {
        const command = { type: "load", load: alonePublish.load(size.bytes), window: alone } as const;
        const answer = await this.#ask(client, command);
        if (answer.p50Ms !== undefined) p50(system.name, answer.p50Ms);
        if (answer.p99Ms !== undefined) p99(system.name, answer.p99Ms);
      });
    }
  }

  async #measureConsuming(size: Size): Promise<void> {
    if (!this.#wants(size, consumePart)) return;
    const { windows, uncounted, consumeMs, fillCount, fillMs } = this.#timing;
    const add = this.#figures.declare(size, consumePart, "msg/s", "higher");
    const available = new Map<SystemName, number>();
    await this.#useTopics();
    await this.#turn(`${size.label}: filling`, async ({ system, client }) => {
      const fill = { type: "fill", count: fillCount, bytes: size.bytes, withinMs: fillMs } as const;
      available.set(system.name, (await this.#ask(client, fill, fillMs)).count ?? 0);
    });
    for (let window = -uncounted; window < windows; window++) {
      await this.#turn(`${size.label}: ${consumePart}`, async ({ system, client }) => {
        const there = available.get(system.name);
        if (there === undefined) return;
        const { perSecond } = await this.#ask(client, {
          type: "consume",
          available: there,
          withinMs: consumeMs,
        });
        if (window >= 0 && perSecond !== undefined) add(system.name, perSecond);
      });
    }
  }

  async #measureLive(size: Size): Promise<void> {
    const rates = liveRates.filter((rate) => this.#wants(size, livePart(rate)));
    if (rates.length === 0) return;
    const { windows, live } = this.#timing;
    await this.#useTopics();
    await this.#turn(`${size.label}: joining`, ({ client }) => this.#ask(client, { type: "open-live" }));
    for (const rate of rates) {
      const part = `${size.label}: ${livePart(rate)}`;
      const p50 = this.#figures.declare(size, `${livePart(rate)}, p50`, "ms", "lower");
      const p99 = this.#figures.declare(size, `${livePart(rate)}, p99`, "ms", "lower");
      const saturated = new Map<SystemName, number>();
      for (let window = 0; window < windows; window++) {
        await this.#turn(part, async ({ system, client }) => {
          const command = { type: "end-to-end", perSecond: rate, bytes: size.bytes, window: live } as const;
          const answer = await this.#ask(client, command);
          if (answer.p50Ms !== undefined) p50(system.name, answer.p50Ms);
          if (answer.p99Ms !== undefined) p99(system.name, answer.p99Ms);
          const delivered = answer.deliveredPerSecond ?? 0;
          // In shorter windows too much is on its way at the end to tell.
          if (!this.#context.quick && delivered < 0.9 * rate) saturated.set(system.name, delivered);
        });
      }
      for (const [name, delivered] of saturated) {
        this.#note(
          name,
          `saturated in "${part}": ${Math.round(delivered).toLocaleString("en-US")}/s were delivered`,
        );
      }
    }
    await this.#turn(`${size.label}: leaving`, ({ client }) => this.#ask(client, { type: "close-live" }));
  }

  async #useTopics(): Promise<void> {
    const name = `bench_${++this.#topics}`;
    await this.#turn("a new topic", ({ client }) => this.#ask(client, { type: "use-topic", name }));
  }

  /** Each system in turn, never two at once. One that fails is out of this part; the others go on. */
  async #turn(part: string, work: (contender: Contender) => Promise<unknown>): Promise<void> {
    this.#context.say(part);
    for (const contender of this.#contenders) {
      try {
        await work(contender);
      } catch (error) {
        this.#context.signal.throwIfAborted();
        this.#context.say(error instanceof Error ? (error.stack ?? error.message) : String(error));
        this.#failed = true;
        const { name } = contender.system;
        // Of many windows that fail alike, one is told.
        if (this.#failures.has(`${name} ${part}`)) continue;
        this.#failures.add(`${name} ${part}`);
        const what = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0];
        this.#note(name, `failed in "${part}": ${what}`);
      }
    }
  }

  async #ask(client: ClientProcess, command: Command, withinMs = 0): Promise<Answer> {
    return await client.ask(command, { signal: this.#context.signal, withinMs });
  }

  #wants(size: Size, part: string): boolean {
    const { only } = this.#context;
    return only === undefined || `${size.label}: ${part}`.includes(only);
  }

  #note(name: SystemName, what: string): void {
    this.#notes.push(`${labelOf(name)} ${what}`);
  }
}
