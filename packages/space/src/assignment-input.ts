import { PartitionedRange } from "./partitioned-range.js";
import { checkIterable, describeValue, SpaceError } from "./space-error.js";

export type PartitionId = string | number;

export interface WeightedServer {
  readonly id: string;
  /** How much it takes compared with the others: 0, or from 1e-6 to 1e6. Default: 1. */
  readonly weight?: number;
}

const leastWeight = 1e-6;
const greatestWeight = 1e6;

/** Checked, and what depends on the order in which things were given is in `given` only. */
export interface AssignmentInput {
  readonly given: readonly { readonly id: PartitionId; readonly name: string }[];
  /** Of the partitions, sorted. */
  readonly names: readonly string[];
  /** Sorted by id; only those with a weight above 0. */
  readonly servers: readonly Required<WeightedServer>[];
}

export function checkAssignment<P>(
  partitions: PartitionedRange<P> | Iterable<PartitionId>,
  servers: Iterable<WeightedServer>,
  replicas: number,
  bound: number,
): AssignmentInput {
  if (!Number.isSafeInteger(replicas) || replicas < 1) {
    throw new SpaceError(
      "invalid-argument",
      `The number of replicas is an integer from 1 on, and this is ${describeValue(replicas)}.`,
    );
  }
  if (typeof bound !== "number" || !(bound >= 1)) {
    throw new SpaceError(
      "invalid-argument",
      `The bound of the load is a number from 1 on, and this is ${typeof bound === "number" ? bound : describeValue(bound)}.`,
    );
  }
  const usable = checkServers(servers).filter(({ weight }) => weight > 0);
  if (usable.length < replicas) {
    throw new SpaceError(
      "not-enough-servers",
      `Each partition needs ${replicas} different servers with a weight above 0, and there are ${usable.length}.`,
    );
  }
  const given = checkPartitions(partitions);
  return { given, names: given.map(({ name }) => name).sort(), servers: usable };
}

function checkServers(servers: Iterable<WeightedServer>): readonly Required<WeightedServer>[] {
  checkIterable(servers, "Servers are an iterable of objects { id, weight }");
  const byId = new Map<string, Required<WeightedServer>>();
  for (const server of servers) {
    if (typeof server !== "object" || server === null) {
      throw new SpaceError(
        "invalid-argument",
        `A server is an object { id, weight }, and this is ${describeValue(server)}.`,
      );
    }
    const { id, weight = 1 } = server;
    if (typeof id !== "string" || byId.has(id)) {
      throw new SpaceError(
        "invalid-argument",
        `The id of a server is a string that no other server has, and this is ${describeValue(id)}.`,
      );
    }
    const isInRange = typeof weight === "number" && weight >= leastWeight && weight <= greatestWeight;
    if (weight !== 0 && !isInRange) {
      throw new SpaceError(
        "invalid-argument",
        `The weight of a server is 0 or a number from ${leastWeight} to ${greatestWeight}, and this is ${describeValue(weight)}.`,
      );
    }
    byId.set(id, { id, weight });
  }
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function checkPartitions<P>(
  partitions: PartitionedRange<P> | Iterable<PartitionId>,
): AssignmentInput["given"] {
  if (partitions instanceof PartitionedRange) {
    return partitions.startPoints.map((start, id) => ({ id, name: partitions.space.format(start) }));
  }
  checkIterable(partitions, "Partitions are a PartitionedRange or an iterable of names");
  const given = new Map<string, PartitionId>();
  for (const id of partitions) {
    if (typeof id !== "string" && !Number.isSafeInteger(id)) {
      throw new SpaceError(
        "invalid-partition",
        `The name of a partition is a string or an integer, and this is ${describeValue(id)}.`,
      );
    }
    const name = String(id);
    if (given.has(name)) {
      throw new SpaceError(
        "invalid-partition",
        `The name of a partition is there once, and this comes twice: ${describeValue(id)}.`,
      );
    }
    given.set(name, id);
  }
  return Array.from(given, ([name, id]) => ({ id, name }));
}
