import type { SeededRandom } from "./random.js";

/** What a seed makes of a run: the shape of the cluster, its load and which faults it meets. */
export interface Plan {
  readonly buffers: number;
  readonly producerNodes: number;
  readonly producersPerNode: number;
  readonly keysPerProducer: number;
  readonly consumerNodes: number;
  readonly rangeSizeFactor: number;
  /** The coordination store is on a host of its own. */
  readonly coordApart: boolean;
  readonly leaseTtlMs: number;
  readonly sessionTtlMs: number;
  readonly segmentMaxBytes: number;
  readonly segmentMaxAgeMs: number;
  readonly appendDeadlineMs: number;
  /** Between two publishes of a producer, on average. */
  readonly publishEveryMs: number;
  /** What the coordination store remembers; watchers that are behind by more must start anew. */
  readonly historyRevisions: number;
  /** Also a subscription that starts at the end, made at this time. */
  readonly latestAtMs: number | undefined;
  /** When the topic's ranges are changed, and to which size. */
  readonly resizes: readonly { readonly atMs: number; readonly factor: number }[];
  readonly faultsFromMs: number;
  readonly faultsUntilMs: number;
  /** Between two faults, on average. */
  readonly faultEveryMs: number;
  readonly faults: readonly FaultKind[];
}

export const faultKinds = [
  "kill",
  "stop",
  "partition",
  "isolation",
  "reset",
  "power cut",
  "wall clock",
  "slow disk",
  "disk errors",
  "slow network",
  "terminate",
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** Each seed has its own mix: a few kinds of faults often find more than all of them seldom. */
export function planOf(random: SeededRandom): Plan {
  const chosen = faultKinds.filter(() => random.chance(0.5));
  const faultsFromMs = random.between(1000, 3000);
  return {
    buffers: random.pick([2, 2, 3, 4]),
    producerNodes: random.integer(1, 2),
    producersPerNode: random.integer(1, 2),
    keysPerProducer: random.integer(1, 3),
    consumerNodes: random.pick([2, 2, 3]),
    rangeSizeFactor: random.pick([14, 15, 15, 16, 16]),
    coordApart: random.chance(0.5),
    leaseTtlMs: random.pick([2000, 3000, 5000]),
    sessionTtlMs: random.pick([2000, 4000]),
    segmentMaxBytes: random.pick([2000, 8000, 100_000]),
    segmentMaxAgeMs: random.pick([2000, 8000, 60_000]),
    appendDeadlineMs: random.pick([2000, 10_000, 30_000]),
    publishEveryMs: random.pick([100, 250, 500]),
    historyRevisions: random.pick([60, 1_000_000, 1_000_000]),
    latestAtMs: random.chance(0.5) ? random.between(1000, 12_000) : undefined,
    resizes: Array.from({ length: random.pick([0, 0, 0, 1, 2]) }, () => ({
      atMs: random.between(2000, 15_000),
      factor: random.pick([14, 15, 16]),
    })).sort((a, b) => a.atMs - b.atMs),
    faultsFromMs,
    faultsUntilMs: faultsFromMs + random.between(6000, 18_000),
    faultEveryMs: random.pick([400, 1000, 2500]),
    faults: chosen.length > 0 ? chosen : ["kill"],
  };
}
