/** What is measured, in which order, and for how long. */
import type { Goal } from "../benchmark.js";
import type { Load, Window } from "./commands.js";
import type { SystemName } from "./systems.js";

export interface Timing {
  /** Counted windows of each system; they take turns. */
  readonly windows: number;
  /** Uncounted ones before, for loads that a compiler warms up to. */
  readonly uncounted: number;
  readonly load: Window;
  readonly alone: Window;
  readonly consumeMs: number;
  readonly fillCount: number;
  readonly fillMs: number;
  readonly live: Window;
  readonly memoryCount: number;
}

export const fullTiming: Timing = {
  windows: 5,
  uncounted: 1,
  load: { warmUpMs: 0, countedMs: 600 },
  alone: { warmUpMs: 100, countedMs: 400 },
  consumeMs: 600,
  fillCount: 150_000,
  fillMs: 2_000,
  live: { warmUpMs: 200, countedMs: 800 },
  memoryCount: 20_000,
};

/** Enough to see every figure appear. */
export const quickTiming: Timing = {
  windows: 1,
  uncounted: 0,
  load: { warmUpMs: 0, countedMs: 100 },
  alone: { warmUpMs: 20, countedMs: 100 },
  consumeMs: 100,
  fillCount: 2_000,
  fillMs: 200,
  live: { warmUpMs: 20, countedMs: 100 },
  memoryCount: 500,
};

export interface Size {
  readonly label: string;
  readonly bytes: number;
}

/** The goals are about the first one. */
export const sizes: readonly Size[] = [
  { label: "1 KiB", bytes: 1024 },
  { label: "100 B", bytes: 100 },
];

export interface PublishPart {
  readonly name: string;
  readonly load: (bytes: number) => Load;
}

export const plainPublish: PublishPart = {
  name: "publish, 1,000 in flight",
  load: (bytes) => ({ type: "publish", inFlight: 1_000, bytes }),
};

export const batchedPublish: PublishPart = {
  name: "publish in batches of 64",
  load: (bytes) => ({ type: "publish-batches", batch: 64, inFlight: 16, bytes }),
};

export const alonePublish: PublishPart = {
  name: "publish one at a time",
  load: (bytes) => ({ type: "one-at-a-time", bytes }),
};

export const consumePart = "consume and commit";
export const memoryPart = "peak memory";
export const liveRates: readonly number[] = [1_000, 10_000];

export function livePart(perSecond: number): string {
  return `end to end at ${perSecond.toLocaleString("en-US")}/s`;
}

/** The first goals, all for 1 KiB. */
export function goalOf(size: Size, metric: string, peer: SystemName): Goal | undefined {
  if (size !== sizes[0]) return undefined;
  if (metric === plainPublish.name) {
    if (peer === "redis") return { text: ">= 1x Redis `always`", atLeast: 1 };
    if (peer === "raw") return { text: ">= 18% of the raw log", atLeast: 0.18 };
  }
  if (metric === `${livePart(10_000)}, p50` && peer === "redis") {
    return { text: "<= 0.5x Redis", atMost: 0.5 };
  }
  return undefined;
}
