import { hash16 } from "@x/space";
import type { ErrorClass, Verdict } from "../src/errors.js";
import { sortPoints } from "../src/plan/sort-points.js";
import type {
  ResolvedCallOptions,
  SchedulerAction,
  SchedulerEvent,
  SchedulerSetup,
} from "../src/scheduler/contract.js";
import { next } from "../src/scheduler/next.js";
import { createState, type SchedulerState } from "../src/scheduler/state.js";
import type { TestView } from "./scheduler-oracle-model.js";

type Action = SchedulerAction<number, TestView>;
type Of<T extends Action["type"]> = Extract<Action, { readonly type: T }>;
type WithoutTime<E> = E extends unknown ? Omit<E, "nowMs"> : never;

/** A view of everything, or of a part. */
export function view(server: string, from = 0, to = 65_000): TestView {
  return { server, serves: { from, to } };
}

/** A scheduler on the workbench: events go in by hand, and the last actions can be looked at. */
export class Workbench {
  readonly state: SchedulerState<number, TestView>;
  nowMs = 0;
  last: readonly Action[] = [];
  readonly sends: Of<"send">[] = [];
  #calls = 0;

  constructor(setup: Partial<SchedulerSetup<TestView>> = {}) {
    this.state = createState<number, TestView>({
      serverOf: ({ server }) => server,
      locality: () => 0,
      maxInFlightPerServer: 100,
      budget: { burst: 10, ratio: 0.1 },
      seed: 5,
      traced: true,
      ...setup,
    });
  }

  step(event: WithoutTime<SchedulerEvent<number, TestView>>): readonly Action[] {
    const { actions } = next(this.state, { ...event, nowMs: this.nowMs } as SchedulerEvent<number, TestView>);
    this.last = actions;
    this.sends.push(...this.of("send"));
    return actions;
  }

  /** Starts a call and returns its number. */
  start(
    points: readonly number[],
    views: readonly TestView[],
    options: Partial<ResolvedCallOptions> = {},
  ): number {
    this.#calls++;
    this.step({
      type: "start",
      call: this.#calls,
      points: sortPoints(hash16, points),
      views,
      options: {
        maxPointsPerRequest: 1000,
        plan: "fewest",
        hedge: false,
        retry: { maxAttempts: 5, baseMs: 10, maxMs: 1000 },
        idleTimeoutMs: 10_000,
        maxBufferedChunks: 64,
        perPoint: false,
        deadlineMs: Number.POSITIVE_INFINITY,
        viewsCanBeRead: false,
        ...options,
      },
    });
    return this.#calls;
  }

  result(request: number, offset?: number): readonly Action[] {
    return this.step({ type: "result", request, ...(offset === undefined ? {} : { offset }) });
  }

  end(request: number): readonly Action[] {
    return this.step({ type: "end", request });
  }

  fail(request: number, verdict: ErrorClass | Verdict = "retryable"): readonly Action[] {
    const full = typeof verdict === "string" ? { class: verdict } : verdict;
    return this.step({ type: "error", request, error: `error of ${request}`, verdict: full });
  }

  /** Lets time pass, with all its ticks. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    const actions: Action[] = [];
    while (this.state.wakeAtMs <= endMs) {
      this.nowMs = this.state.wakeAtMs;
      actions.push(...this.step({ type: "tick" }));
    }
    this.nowMs = endMs;
    this.last = actions;
  }

  of<T extends Action["type"]>(type: T): Of<T>[] {
    return this.last.filter((action): action is Of<T> => action.type === type);
  }

  get lastSend(): Of<"send"> {
    return this.sends.at(-1)!;
  }

  get finish(): Of<"finish"> | undefined {
    return this.of("finish")[0];
  }

  /** What was told by the last event, as words. */
  get told(): string[] {
    return this.of("tell").map(({ event }) => event.type);
  }
}
