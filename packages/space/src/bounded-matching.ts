import type { Scores } from "./partition-scores.js";

/** How many of its best servers a partition remembers, beyond its replicas: others are looked for again if they are needed. */
const remembered = 8;

/** Off by less than any share is meant: what 0.1 + 0.2 is more than 0.3 must not become a whole partition. */
const roundingError = 1e-9;

/**
 * How many partitions each server may get: `ceil(bound * share)`, where the shares are proportional to the weights, but none is
 * above the number of partitions, since a server has a partition once at most; what it cannot take is the others'.
 * Enough in sum for all, as long as there are as many servers as replicas.
 */
export function capacities(
  weights: readonly number[],
  partitions: number,
  replicas: number,
  bound: number,
): Float64Array {
  const shares = new Float64Array(weights.length).fill(-1);
  let left = partitions * replicas;
  for (let full = true; full; ) {
    full = false;
    const rest = left;
    let sum = 0;
    for (const [server, weight] of weights.entries()) if (shares[server]! < 0) sum += weight;
    for (const [server, weight] of weights.entries()) {
      if (shares[server]! >= 0 || (rest * weight) / sum < partitions) continue;
      shares[server] = partitions;
      left -= partitions;
      full = true;
    }
    if (full) continue;
    for (const [server, weight] of weights.entries()) {
      if (shares[server]! < 0) shares[server] = (rest * weight) / sum;
    }
  }
  return shares.map((share) => Math.min(partitions, Math.ceil(bound * share - roundingError)));
}

/**
 * For each partition `replicas` different servers, best first, so that none has more than its capacity: pairs are taken from the
 * highest score down, as far as both have room. With a score of the pair as each side's preference there is one stable matching,
 * and this is it.
 */
export function matchByScore(
  scores: Scores,
  partitions: number,
  capacity: Float64Array,
  replicas: number,
): readonly (readonly number[])[] {
  const room = Float64Array.from(capacity);
  const holders: number[][] = Array.from({ length: partitions }, () => []);
  const candidates = Array.from({ length: partitions }, (_, partition) =>
    rank(scores, partition, room.length, replicas + remembered),
  );
  const next = new Int32Array(partitions);
  const heap = new BestFirst((partition) => scores.of(partition, candidates[partition]![next[partition]!]!));
  for (let partition = 0; partition < partitions; partition++) heap.push(partition);

  const short: number[] = [];
  for (let partition = heap.pop(); partition !== undefined; partition = heap.pop()) {
    const server = candidates[partition]![next[partition]!]!;
    const own = holders[partition]!;
    if (room[server]! > 0) {
      room[server]!--;
      own.push(server);
      if (own.length === replicas) continue;
    }
    next[partition]!++;
    if (next[partition]! === room.length) {
      short.push(partition);
      continue;
    }
    if (next[partition]! === candidates[partition]!.length) {
      candidates[partition] = rank(scores, partition, room.length, 4 * next[partition]!);
    }
    heap.push(partition);
  }
  short.sort((a, b) => a - b);
  for (const partition of short) {
    while (holders[partition]!.length < replicas) makeRoom(holders, room, partition);
  }
  for (const [partition, own] of holders.entries()) {
    own.sort((a, b) => scores.of(partition, b) - scores.of(partition, a) || a - b);
  }
  return holders;
}

/** The best `count` servers of a partition, best first. */
function rank(scores: Scores, partition: number, servers: number, count: number): readonly number[] {
  const best: number[] = [];
  const bestScores: number[] = [];
  for (let server = 0; server < servers; server++) {
    const score = scores.of(partition, server);
    if (best.length === count && score <= bestScores[count - 1]!) continue;
    let place = Math.min(best.length, count - 1);
    while (place > 0 && bestScores[place - 1]! < score) {
      best[place] = best[place - 1]!;
      bestScores[place] = bestScores[place - 1]!;
      place--;
    }
    best[place] = server;
    bestScores[place] = score;
  }
  return best;
}

/**
 * Finds one more server for a partition that has all servers with room already: takes a full one, moves one of its partitions on,
 * and so on until a server has room. The shortest such chain, by breadth-first search. There always is one: all partitions want the
 * same number of servers, and no capacity is above the number of partitions.
 */
function makeRoom(holders: readonly number[][], room: Float64Array, partition: number): void {
  const held: number[][] = Array.from(room, () => []);
  for (const [other, own] of holders.entries()) for (const server of own) held[server]!.push(other);
  const own = holders[partition]!;
  /** For each server that was reached, the partition that would come from another server, and that server. */
  const reached = new Map<number, readonly [moved: number, from: number] | undefined>();
  for (let server = 0; server < room.length; server++)
    if (!own.includes(server)) reached.set(server, undefined);
  // A map goes on to what was added meanwhile, so this is the queue.
  for (const [server] of reached) {
    if (room[server]! > 0) {
      let end = server;
      room[end]!--;
      for (let step = reached.get(end); step !== undefined; step = reached.get(end)) {
        const [moved, from] = step;
        holders[moved]!.splice(holders[moved]!.indexOf(from), 1, end);
        end = from;
      }
      own.push(end);
      return;
    }
    for (const moved of held[server]!) {
      for (let to = 0; to < room.length; to++) {
        if (!reached.has(to) && !holders[moved]!.includes(to)) reached.set(to, [moved, server]);
      }
    }
  }
  throw new Error("unreachable: the capacities are enough for all partitions");
}

/** Partitions, the one with the highest score first, and of equal scores the lowest index. A binary heap. */
class BestFirst {
  readonly #scoreOf: (partition: number) => number;
  readonly #heap: number[] = [];
  readonly #scores: number[] = [];

  constructor(scoreOf: (partition: number) => number) {
    this.#scoreOf = scoreOf;
  }

  push(partition: number): void {
    const score = this.#scoreOf(partition);
    let place = this.#heap.length;
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      if (!this.#isBefore(partition, score, parent)) break;
      this.#heap[place] = this.#heap[parent]!;
      this.#scores[place] = this.#scores[parent]!;
      place = parent;
    }
    this.#heap[place] = partition;
    this.#scores[place] = score;
  }

  pop(): number | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    const score = this.#scores.pop();
    if (first === undefined || last === undefined || score === undefined) return undefined;
    const size = this.#heap.length;
    if (size === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBefore(this.#heap[child + 1]!, this.#scores[child + 1]!, child))
        child++;
      if (this.#isBefore(last, score, child)) break;
      this.#heap[place] = this.#heap[child]!;
      this.#scores[place] = this.#scores[child]!;
      place = child;
    }
    this.#heap[place] = last;
    this.#scores[place] = score;
    return first;
  }

  #isBefore(partition: number, score: number, place: number): boolean {
    const other = this.#scores[place]!;
    return score > other || (score === other && partition < this.#heap[place]!);
  }
}
