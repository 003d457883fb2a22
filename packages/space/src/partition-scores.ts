import { murmur3x64_128 } from "./murmur3.js";

/** The seeds differ, so that a partition and a server of the same name have hashes that are nothing alike. */
const seeds = { partition: 0, server: 1 } as const;

/** 64 bits of hash for each name, as the halves in turn: one array of small numbers rather than many bigints. */
export function hashNames(names: readonly string[], role: keyof typeof seeds): Int32Array {
  const hashes = new Int32Array(2 * names.length);
  for (const [index, name] of names.entries()) {
    const { h1 } = murmur3x64_128(name, seeds[role]);
    hashes[2 * index] = Number(h1 >> 32n);
    hashes[2 * index + 1] = Number(h1 & 0xffff_ffffn);
  }
  return hashes;
}

/** The final mix of MurmurHash3_x86_32 by Austin Appleby, in the public domain. */
function mix(half: number): number {
  let mixed = half;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** A number above 0 and below 1 for two hashes, as if drawn at random: 52 bits, and a half more to stay off the ends. */
function uniform(
  partitionHashes: Int32Array,
  partition: number,
  serverHashes: Int32Array,
  server: number,
): number {
  const high = mix(partitionHashes[2 * partition]! ^ serverHashes[2 * server]!);
  const low = mix(partitionHashes[2 * partition + 1]! ^ serverHashes[2 * server + 1]! ^ high);
  // The lower half knows of both halves of the names now, so the upper one must hear of it.
  const bits = (mix(high ^ low) >>> 0) * 0x10_0000 + (low >>> 12);
  return (bits + 0.5) / 2 ** 52;
}

/** Partitions and servers by their indices, in an order that does not depend on how they were given. */
export interface Scores {
  /** How much the partition belongs to the server: higher is more, always above 0. */
  readonly of: (partition: number, server: number) => number;
}

/** Weighted rendezvous hashing by the logarithmic method: the server with weight w wins with the probability w / sum of weights. */
export function weightedScores(
  partitions: readonly string[],
  servers: readonly { readonly id: string; readonly weight: number }[],
): Scores {
  const partitionHashes = hashNames(partitions, "partition");
  const serverHashes = hashNames(
    servers.map(({ id }) => id),
    "server",
  );
  const weights = Float64Array.from(servers, ({ weight }) => weight);
  const isEven = weights.every((weight) => weight === weights[0]);
  return {
    of: (partition, server) => {
      const draw = uniform(partitionHashes, partition, serverHashes, server);
      // With equal weights the logarithm changes no order.
      return isEven ? draw : -weights[server]! / Math.log(draw);
    },
  };
}
