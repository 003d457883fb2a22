import type { Space } from "@x/space";
import { classifyError } from "./classify.js";
import type { Clock } from "./clock.js";
import { describe } from "./describe.js";
import { FanoutError } from "./errors.js";
import type { CallOptions, FanoutOptions, HedgeOptions, SharedOptions } from "./options.js";
import type { Resolved, ResolvedCallOptions } from "./scheduler/contract.js";
import { systemClock, systemRandom } from "./system.js";

// TypeScript says most of this, but options are read from files and flags, so it is all looked at here.

/** The options that a fanout has and a call may change, with every default filled in. */
export type ResolvedSharedOptions = Pick<ResolvedCallOptions, keyof SharedOptions>;

/** The options that only a fanout has, with every default filled in but the space's, which is the points' own. */
export type ResolvedFanoutOptions<V> = Resolved<
  Omit<FanoutOptions<V>, keyof SharedOptions | "space" | "budget" | "onEvent">
> & {
  readonly space: Space<unknown> | undefined;
  readonly budget: { readonly burst: number; readonly ratio: number };
  readonly onEvent: FanoutOptions<V>["onEvent"];
  readonly shared: ResolvedSharedOptions;
};

const defaults: ResolvedSharedOptions = {
  maxPointsPerRequest: 1000,
  plan: "fewest",
  hedge: { percentile: 0.95, minMs: 1, initialMs: 100, maxHedges: 1, tied: false },
  retry: { maxAttempts: 5, baseMs: 10, maxMs: 1000 },
  idleTimeoutMs: 10_000,
  maxBufferedChunks: 64,
};

/** @throws FanoutError "invalid-argument" */
export function checkFanoutOptions<V, P>(options: FanoutOptions<V, P> = {}): ResolvedFanoutOptions<V> {
  checkObject(options, "the options of a fanout");
  const { space, clock = systemClock, random = systemRandom, budget = {} } = options;
  if (space !== undefined) checkSpace(space);
  checkClock(clock);
  checkObject(budget, "budget");
  return {
    space: space as Space<unknown> | undefined, // Every point is checked by the space itself, whatever its type.
    serverOf: callable(options.serverOf, "serverOf") ?? ((view) => view),
    locality: callable(options.locality, "locality") ?? (() => 0),
    maxInFlightPerServer: count(options.maxInFlightPerServer, "maxInFlightPerServer") ?? 100,
    budget: {
      burst: amount(budget.burst, "budget.burst") ?? 10,
      ratio: amount(budget.ratio, "budget.ratio") ?? 0.1,
    },
    classify: callable(options.classify, "classify") ?? classifyError,
    onEvent: callable(options.onEvent, "onEvent"),
    clock,
    random: callable(random, "random") ?? systemRandom,
    shared: checkShared(options, defaults),
  };
}

/** A call's options, with those of its fanout and every default filled in. */
export interface CheckedCallOptions {
  /** What the scheduler must know, but for what depends on the time and the views. */
  readonly scheduling: Omit<ResolvedCallOptions, "deadlineMs" | "viewsCanBeRead">;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  readonly allowPartial: boolean;
  readonly waitForLosers: boolean;
  readonly maxBufferedChunks: number;
}

/** @throws FanoutError "invalid-argument" */
export function checkCallOptions(options: CallOptions, shared: ResolvedSharedOptions): CheckedCallOptions {
  checkObject(options, "the options of a call");
  const { signal } = options;
  // Not `instanceof`: a signal may come from another realm.
  if (signal !== undefined && !hasFunctions(signal, ["addEventListener", "removeEventListener"])) {
    refuse("signal", "an AbortSignal", signal);
  }
  const scheduling = { ...checkShared(options, shared), perPoint: flag(options.perPoint, "perPoint") };
  return {
    scheduling,
    signal,
    timeoutMs: duration(options.timeoutMs, "timeoutMs") ?? Number.POSITIVE_INFINITY,
    allowPartial: flag(options.allowPartial, "allowPartial"),
    waitForLosers: flag(options.waitForLosers, "waitForLosers"),
    maxBufferedChunks: scheduling.maxBufferedChunks,
  };
}

function checkShared(options: SharedOptions, otherwise: ResolvedSharedOptions): ResolvedSharedOptions {
  const { plan, hedge, retry = {} } = options;
  if (plan !== undefined && plan !== "fewest" && plan !== "balanced") {
    refuse("plan", '"fewest" or "balanced"', plan);
  }
  checkObject(retry, "retry");
  const idleTimeoutMs = duration(options.idleTimeoutMs, "idleTimeoutMs") ?? otherwise.idleTimeoutMs;
  if (idleTimeoutMs === 0) refuse("idleTimeoutMs", "above 0 ms", idleTimeoutMs);
  return {
    maxPointsPerRequest:
      count(options.maxPointsPerRequest, "maxPointsPerRequest") ?? otherwise.maxPointsPerRequest,
    plan: plan ?? otherwise.plan,
    hedge: hedge === undefined ? otherwise.hedge : checkHedge(hedge),
    retry: {
      maxAttempts: count(retry.maxAttempts, "retry.maxAttempts") ?? otherwise.retry.maxAttempts,
      baseMs: amount(retry.baseMs, "retry.baseMs") ?? otherwise.retry.baseMs,
      maxMs: amount(retry.maxMs, "retry.maxMs") ?? otherwise.retry.maxMs,
    },
    idleTimeoutMs,
    maxBufferedChunks: count(options.maxBufferedChunks, "maxBufferedChunks") ?? otherwise.maxBufferedChunks,
  };
}

function checkHedge(hedge: HedgeOptions | false): HedgeOptions | false {
  if (hedge === false) return hedge;
  checkObject(hedge, "hedge");
  const common = {
    maxHedges: count(hedge.maxHedges, "hedge.maxHedges") ?? 1,
    tied: flag(hedge.tied, "hedge.tied"),
  };
  const fixed = "afterMs" in hedge && hedge.afterMs !== undefined;
  const measured = "percentile" in hedge && hedge.percentile !== undefined;
  if (fixed === measured) refuse("hedge", "false, or has either afterMs or percentile", hedge);
  if (fixed) return { ...common, afterMs: amount(hedge.afterMs, "hedge.afterMs") ?? 0 };
  // One of the two was there, so it is this one.
  const { percentile, minMs, initialMs } = hedge as Exclude<HedgeOptions, { readonly afterMs: number }>;
  if (typeof percentile !== "number" || !(percentile > 0 && percentile < 1)) {
    refuse("hedge.percentile", "between 0 and 1, both exclusive", percentile);
  }
  return {
    ...common,
    percentile,
    minMs: amount(minMs, "hedge.minMs") ?? 1,
    initialMs: amount(initialMs, "hedge.initialMs") ?? 100,
  };
}

function checkSpace(space: unknown): void {
  const functions = ["isPoint", "compare", "order", "rank", "format", "formatRange"];
  if (!hasFunctions(space, functions)) refuse("space", "a Space of @x/space", space);
}

function checkClock(clock: Clock): void {
  if (!hasFunctions(clock, ["monotonicMs", "setTimer"])) {
    refuse("clock", "an object with monotonicMs and setTimer", clock);
  }
}

/** Whether the value has all of these functions. */
export function hasFunctions(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== "object" || value === null) return false;
  return names.every((name) => typeof Reflect.get(value, name) === "function");
}

function checkObject(value: unknown, name: string): void {
  if (typeof value !== "object" || value === null) refuse(name, "an object", value);
}

function callable<F>(value: F | undefined, name: string): F | undefined {
  if (value !== undefined && typeof value !== "function") refuse(name, "a function", value);
  return value;
}

function flag(value: boolean | undefined, name: string): boolean {
  if (value !== undefined && typeof value !== "boolean") refuse(name, "true or false", value);
  return value ?? false;
}

/** How many: at least 1, or `Infinity` for as many as there are. */
function count(value: number | undefined, name: string): number | undefined {
  if (value !== undefined && !(value >= 1 && (Number.isSafeInteger(value) || value === Infinity))) {
    refuse(name, "an integer from 1, or Infinity", value);
  }
  return value;
}

/** How much: at least 0 and finite. */
function amount(value: number | undefined, name: string): number | undefined {
  if (value !== undefined && !(Number.isFinite(value) && value >= 0)) {
    refuse(name, "a finite number from 0", value);
  }
  return value;
}

/** How long: at least 0, and `Infinity` for without end. */
function duration(value: number | undefined, name: string): number | undefined {
  if (value !== undefined && !(typeof value === "number" && value >= 0)) {
    refuse(name, "a number of milliseconds from 0, or Infinity", value);
  }
  return value;
}

function refuse(name: string, allowed: string, value: unknown): never {
  throw new FanoutError("invalid-argument", `${name} must be ${allowed}, not ${describe(value)}.`);
}
