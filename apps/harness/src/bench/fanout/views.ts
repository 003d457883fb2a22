import type { View } from "@x/fanout";
import { evenPartitions, hash64, murmur3Hash64 } from "@x/space";

/** One of the servers of a range, as it would come from a registry. */
export interface Replica extends View<bigint> {
  readonly name: string;
}

/** `hash64` cut evenly into ranges, each on so many servers. */
export function makeReplicas(ranges: number, replicas: number): readonly Replica[] {
  return [...evenPartitions(hash64, ranges)].flatMap((serves, range) =>
    Array.from({ length: replicas }, (_, replica) => ({ name: `${range}/${replica}`, serves })),
  );
}

/** Hashes, so spread over the space like random numbers, and the same in each run. */
export function makePoints(count: number): readonly bigint[] {
  return Array.from({ length: count }, (_, index) => murmur3Hash64(`key-${index}`));
}

/** What an rpc fails with whose server is not there, with gRPC's code. */
export function unavailable(): Error {
  return Object.assign(new Error("14 UNAVAILABLE: connection refused"), { code: 14 });
}
