import { lowerBound } from "../plan/uncovered-ranks.js";
import {
  type Call,
  failed,
  nobody,
  open,
  type Request,
  reasons,
  type SchedulerState,
  satisfied,
} from "./state.js";

// The bookkeeping per point: loops over typed arrays, by rank, without an object per point.

const manyDelivered = 2 ** 32 - 1;

/** Whether it carries the rank. */
export function carries<P, V>(request: Request<P, V>, rank: number): boolean {
  return request.ranks[lowerBound(request.ranks, rank)] === rank;
}

/** Those of its ranks that are open. Its own array when all are. */
export function openRanks<P, V>({ call, ranks }: Request<P, V>): Uint32Array {
  const { status } = call;
  let count = 0;
  for (let index = 0; index < ranks.length; index++) if (status[ranks[index]!] === open) count++;
  if (count === ranks.length) return ranks;
  const left = new Uint32Array(count);
  for (let index = 0, at = 0; at < count; index++) {
    const rank = ranks[index]!;
    if (status[rank] === open) left[at++] = rank;
  }
  return left;
}

export function hasOpenRanks<P, V>({ call, ranks }: Request<P, V>): boolean {
  const { status } = call;
  for (let index = 0; index < ranks.length; index++) if (status[ranks[index]!] === open) return true;
  return false;
}

/** Those of the ranks that at most `most` of the requests carry. */
export function carriedByAtMost<P, V>(
  ranks: Uint32Array,
  requests: readonly Request<P, V>[],
  most: number,
): Uint32Array {
  if (requests.length <= most) return ranks;
  return ranks.filter((rank) => {
    let carriers = 0;
    for (const request of requests) if (carries(request, rank)) carriers++;
    return carriers <= most;
  });
}

/** All that is left of a request is satisfied. */
export function satisfyAll<P, V>(state: SchedulerState<P, V>, { call, ranks }: Request<P, V>): void {
  const { status } = call;
  let count = 0;
  for (let index = 0; index < ranks.length; index++) {
    const rank = ranks[index]!;
    if (status[rank] === open) {
      status[rank] = satisfied;
      count++;
    }
  }
  close(state, call, count);
  call.satisfiedCount += count;
}

export function satisfyOne<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, rank: number): void {
  call.status[rank] = satisfied;
  call.satisfiedCount++;
  close(state, call, 1);
}

/** Points that nothing carries have failed for good. */
export function failRanks<P, V>(
  state: SchedulerState<P, V>,
  call: Call<P, V>,
  ranks: Uint32Array,
  reason: (typeof reasons)[number],
): void {
  const code = failed + reasons.indexOf(reason);
  for (let index = 0; index < ranks.length; index++) call.status[ranks[index]!] = code;
  close(state, call, ranks.length);
}

function close<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, count: number): void {
  call.openCount -= count;
  if (call.openCount === 0) state.complete.push(call);
}

/** The rank of an offset that the request carries; -1 for another. With `perPoint` only. */
export function rankCarried<P, V>(request: Request<P, V>, offset: number): number {
  const { call } = request;
  call.rankOf ??= invert(call.points.offsets);
  const rank = call.rankOf[offset];
  if (rank === undefined) return -1;
  if (call.carrier?.[rank] === request.ordinal || carries(request, rank)) return rank;
  return -1;
}

function invert(offsets: Uint32Array): Uint32Array {
  const rankOf = new Uint32Array(offsets.length);
  for (let rank = 0; rank < offsets.length; rank++) rankOf[offsets[rank]!] = rank;
  return rankOf;
}

/** A result that is not one point's: it counts for all that the request carries. Returns the offsets for which another one has delivered. */
export function duplicatesOf<P, V>(request: Request<P, V>): readonly number[] {
  const { call, ranks } = request;
  request.heard = true;
  // Nothing else ever carried them, so nobody looks at the marks before they are needed.
  if (!request.shared) return nobody;
  markDelivered(request);
  const { offsets } = call.points;
  const duplicates: number[] = [];
  for (let index = 0; index < ranks.length; index++) {
    const rank = ranks[index]!;
    if (call.deliveredBy![rank] !== request.ordinal) duplicates.push(offsets[rank]!);
  }
  return duplicates;
}

/** Notes that the request has delivered something, if it has, before others carry its points. */
export function markDelivered<P, V>(request: Request<P, V>): void {
  if (!request.heard || request.marked) return;
  request.marked = true;
  const { call, ranks, ordinal } = request;
  call.deliveredBy ??= new Uint32Array(call.status.length);
  const { deliveredBy } = call;
  for (let index = 0; index < ranks.length; index++) {
    const rank = ranks[index]!;
    deliveredBy[rank] = deliveredBy[rank] === 0 ? ordinal : manyDelivered;
  }
}
