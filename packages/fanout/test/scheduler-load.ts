import { hash16 } from "@x/space";
import { sortPoints } from "../src/plan/sort-points.js";
import type { ResolvedCallOptions, SchedulerAction, SchedulerEvent } from "../src/scheduler/contract.js";
import { next } from "../src/scheduler/next.js";
import { draw, type Random } from "../src/scheduler/random.js";
import { createState, type SchedulerState } from "../src/scheduler/state.js";
import { type Timed, Timers } from "../src/scheduler/timers.js";
import type { TestView } from "./scheduler-oracle-model.js";

/** What a server does with a request: answers after a while, says after a while that it cannot be reached, or nothing. */
export type Answer = { readonly afterMs: number; readonly unreachable?: boolean } | undefined;

interface Due extends Timed {
  readonly run: () => void;
}

/** Servers and calls in virtual time: a minute of load takes a moment. */
export class Load {
  readonly state: SchedulerState<number, TestView>;
  /** How each call went, by its number. */
  readonly latencies: number[] = [];
  readonly codes: string[] = [];
  /** Requests by kind, and by server. */
  readonly sent: Record<"send" | "retry" | "hedge", number> = { send: 0, retry: 0, hedge: 0 };
  readonly atServer: Map<string, number> = new Map<string, number>();
  readonly random: Random = { word: 7 };
  nowMs = 0;
  readonly #views: readonly TestView[];
  readonly #answer: (server: string, nowMs: number) => Answer;
  readonly #options: Omit<ResolvedCallOptions, "deadlineMs">;
  readonly #due: Timers<Due> = new Timers<Due>();
  readonly #starts: number[] = [];

  constructor(
    servers: readonly string[],
    answer: (server: string, nowMs: number) => Answer,
    {
      burst = 10,
      ratio = 0.1,
      ...options
    }: Partial<ResolvedCallOptions> & { burst?: number; ratio?: number } = {},
  ) {
    this.#views = servers.map((server) => ({ server, serves: { from: 0, to: 100 } }));
    this.#answer = answer;
    this.#options = {
      maxPointsPerRequest: 1000,
      plan: "fewest",
      hedge: { percentile: 0.95, minMs: 1, initialMs: 100, maxHedges: 1, tied: false },
      retry: { maxAttempts: 5, baseMs: 10, maxMs: 1000 },
      idleTimeoutMs: 10_000,
      maxBufferedChunks: 64,
      perPoint: false,
      viewsCanBeRead: false,
      ...options,
    };
    this.state = createState<number, TestView>({
      serverOf: ({ server }) => server,
      locality: () => 0,
      maxInFlightPerServer: 100,
      budget: { burst, ratio },
      seed: 11,
      traced: true,
    });
  }

  /** One call of one point every so often, until there were so many more. */
  calls(count: number, everyMs: number): void {
    const first = this.#starts.length;
    const startMs = this.nowMs;
    for (let index = 0; index < count; index++)
      this.#at(startMs + (index + 1) * everyMs, () => this.#start());
    while (this.#starts.length < first + count || this.state.calls.size > 0) {
      const wakeAtMs = Math.min(this.#due.nextMs, this.state.wakeAtMs);
      if (wakeAtMs === Number.POSITIVE_INFINITY) throw new Error("Calls hang.");
      this.nowMs = wakeAtMs;
      const due = this.#due.take(wakeAtMs);
      if (due === undefined) this.#step({ type: "tick", nowMs: wakeAtMs });
      else due.run();
    }
  }

  /** The latency that this fraction of the calls from a number on did not exceed. */
  percentile(fraction: number, from = 0): number {
    const sorted = this.latencies.slice(from).sort((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * fraction) - 1]!;
  }

  get failed(): number {
    return this.codes.filter((code) => code !== "ok").length;
  }

  #at(dueMs: number, run: () => void): void {
    this.#due.set({ dueMs: 0, slot: -1, run }, dueMs);
  }

  #start(): void {
    const call = this.#starts.push(this.nowMs) - 1;
    this.#step({
      type: "start",
      nowMs: this.nowMs,
      call,
      points: sortPoints(hash16, [50]),
      views: this.#views,
      options: { ...this.#options, deadlineMs: Number.POSITIVE_INFINITY },
    });
  }

  #step(event: SchedulerEvent<number, TestView>): void {
    for (const action of next(this.state, event).actions) this.#carryOut(action);
  }

  #carryOut(action: SchedulerAction<number, TestView>): void {
    if (action.type === "finish") {
      this.codes[action.call] = action.code;
      this.latencies[action.call] = this.nowMs - this.#starts[action.call]!;
    } else if (action.type === "tell") {
      const { type } = action.event;
      if (type === "send" || type === "retry" || type === "hedge") this.sent[type]++;
    } else if (action.type === "send") {
      const { request, view } = action;
      this.atServer.set(view.server, (this.atServer.get(view.server) ?? 0) + 1);
      const answer = this.#answer(view.server, this.nowMs);
      if (answer === undefined) return;
      const verdict = { class: "unreachable" } as const;
      this.#at(this.nowMs + answer.afterMs, () => {
        const at = { nowMs: this.nowMs, request };
        if (answer.unreachable) this.#step({ ...at, type: "error", error: "connection refused", verdict });
        else this.#step({ ...at, type: "end" });
      });
    }
  }
}

/** Milliseconds as servers take them: mostly about 5, and now and then much longer. */
export function usual(random: Random): number {
  return 4 + 2 * draw(random) + (draw(random) < 0.03 ? 10 + 30 * draw(random) : 0);
}
