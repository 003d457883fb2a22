import { checkAssignment, type PartitionId, type WeightedServer } from "./assignment-input.js";
import { capacities, matchByScore } from "./bounded-matching.js";
import { weightedScores } from "./partition-scores.js";
import type { PartitionedRange } from "./partitioned-range.js";

export interface AssignOptions {
  /** On how many different servers each partition is. Default: 1. */
  readonly replicas?: number;
  /**
   * How much more than its fair share a server may get, at least 1: closer to 1 is more even and moves more when servers come and go.
   * `Number.POSITIVE_INFINITY` is no bound at all. Default: 1.25.
   */
  readonly bound?: number;
}

/**
 * Says which servers have which partition: deterministic, the same in whatever order both are given, and little changes when a
 * server comes or goes.
 *
 * Every partition scores every server by a hash of their names and belongs to the best (rendezvous hashing, D. Thaler and C.
 * Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6 (1998); weights by the
 * logarithmic method of C. Schindelhauer and G. Schomaker, "Weighted distributed hash tables", SPAA 2005). No server gets more
 * than `ceil(bound * share)` partitions (V. Mirrokni, M. Thorup and M. Zadimoghaddam, "Consistent hashing with bounded
 * loads", SODA 2018), where shares are proportional to the weights and none is above the number of partitions. Pairs are made from
 * the highest score down, as far as there is room, so each server keeps the partitions that belong to it most.
 *
 * When one of n equal servers comes or goes, about 1/n of the partitions move, and some more that the bound pushes on.
 * O(p * s) for p partitions and s servers, about a second for 10 million pairs.
 *
 * @param partitions their names, each once: `1` and `"1"` are the same name. Of a `PartitionedRange` the indices, where what is
 * hashed is where a partition starts: the lower half of a split one stays where it is.
 * @param servers each id once. One with the weight 0 gets nothing, as one that is being drained.
 * @returns for each partition, in the order given, the ids of its servers, the one it belongs to most first. Frozen.
 * @throws SpaceError "not-enough-servers" when fewer servers than replicas have a weight; "invalid-partition" for a name that is
 * none or comes twice; "invalid-argument" for a server or an option that is wrong
 */
export function assignPartitions<P>(
  partitions: PartitionedRange<P>,
  servers: Iterable<WeightedServer>,
  options?: AssignOptions,
): ReadonlyMap<number, readonly string[]>;
export function assignPartitions<I extends PartitionId>(
  partitions: Iterable<I>,
  servers: Iterable<WeightedServer>,
  options?: AssignOptions,
): ReadonlyMap<I, readonly string[]>;
export function assignPartitions<P>(
  partitions: PartitionedRange<P> | Iterable<PartitionId>,
  servers: Iterable<WeightedServer>,
  { replicas = 1, bound = 1.25 }: AssignOptions = {},
): ReadonlyMap<PartitionId, readonly string[]> {
  const input = checkAssignment(partitions, servers, replicas, bound);
  const holders = matchByScore(
    weightedScores(input.names, input.servers),
    input.names.length,
    capacities(
      input.servers.map(({ weight }) => weight),
      input.names.length,
      replicas,
      bound,
    ),
    replicas,
  );
  const idsByName = new Map(
    input.names.map((name, index) => [
      name,
      Object.freeze(holders[index]!.map((server) => input.servers[server]!.id)),
    ]),
  );
  return new Map(input.given.map(({ id, name }) => [id, idsByName.get(name)!]));
}
