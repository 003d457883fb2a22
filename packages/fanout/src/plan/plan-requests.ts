import { FanoutError } from "../errors.js";
import type { LocatedViews, Plan, PlannedRequest, PlanOptions } from "./contract.js";
import { planTier, type Tier, TierMemory } from "./plan-tier.js";
import { sortByWords } from "./sort-by-words.js";
import { lowerBound, UncoveredRanks } from "./uncovered-ranks.js";

/**
 * Decides which view gets which points. Tier by tier: what the views of the lowest tier serve is planned on them, the next tier
 * gets what is left. See {@link PlanOptions} for the two modes. O(V log n + n), however the views overlap and however
 * many tiers they are in.
 *
 * @throws FanoutError "invalid-argument" when `maxPointsPerRequest` is below 1, or `choose` returns what is none of its candidates
 */
export function planRequests(located: LocatedViews<unknown>, options: PlanOptions): Plan {
  if (!(options.maxPointsPerRequest >= 1)) {
    throw new FanoutError(
      "invalid-argument",
      `maxPointsPerRequest is 1 or more, and this is ${String(options.maxPointsPerRequest)}.`,
    );
  }
  const memory = new TierMemory(located.views.length);
  const tiers = tiersOf(located, options.tierOf);
  const best = tiers[0];
  if (best !== undefined && coversAll(located, best, options.ranks)) {
    // As a rule, and then nobody needs to know which rank is left for whom.
    const requests = planTier(located, best, options.ranks.slice(), memory, options);
    return { requests, uncovered: new Uint32Array(0) };
  }
  const uncovered = new UncoveredRanks(options.ranks);
  // Each tier writes what it covers behind what the one before it has covered; the requests share this memory.
  const covered = new Uint32Array(options.ranks.length);
  const requests: PlannedRequest[] = [];
  let at = 0;
  for (const tier of tiers) {
    const start = at;
    for (const view of tier.byFirst)
      at = uncovered.take(located.first[view]!, located.end[view]!, covered, at);
    if (at === start) continue;
    for (const request of planTier(located, tier, covered.subarray(start, at), memory, options))
      requests.push(request);
  }
  return { requests, uncovered: uncovered.toArray() };
}

/** Whether each of the ranks is served by a view of the tier. */
function coversAll(located: LocatedViews<unknown>, { byFirst }: Tier, ranks: Uint32Array): boolean {
  let covered = 0;
  for (let index = 0; index < byFirst.length; index++) {
    const view = byFirst[index]!;
    if (lowerBound(ranks, located.first[view]!) > covered) return false;
    covered = Math.max(covered, lowerBound(ranks, located.end[view]!));
  }
  return covered === ranks.length;
}

const unusable = Number.POSITIVE_INFINITY;

/** The usable views by tier, the lowest tier first. */
function tiersOf(located: LocatedViews<unknown>, tierOf: PlanOptions["tierOf"]): readonly Tier[] {
  const byFirst = ascending(located.first);
  const byEnd = ascending(located.end);
  const numbers = new Float64Array(located.views.length);
  let isOne = true;
  for (let view = 0; view < numbers.length; view++) {
    numbers[view] = tierOf(view);
    if (numbers[view] !== numbers[0]) isOne = false;
  }
  if (isOne && numbers[0]! < unusable) return [{ byFirst, byEnd }];
  const tiers = new Map<number, { readonly byFirst: number[]; readonly byEnd: number[] }>();
  // NaN is no tier either.
  for (const number of numbers) if (number < unusable) tiers.set(number, { byFirst: [], byEnd: [] });
  for (const view of byFirst) tiers.get(numbers[view]!)?.byFirst.push(view);
  for (const view of byEnd) tiers.get(numbers[view]!)?.byEnd.push(view);
  return [...tiers]
    .sort(([a], [b]) => a - b)
    .map(([, tier]) => ({ byFirst: Uint32Array.from(tier.byFirst), byEnd: Uint32Array.from(tier.byEnd) }));
}

/** The indexes of the keys, in the order of the keys. */
function ascending(keys: Uint32Array): Uint32Array {
  const ids = new Uint32Array(keys.length);
  let isSorted = true;
  for (let id = 0; id < ids.length; id++) {
    ids[id] = id;
    if (id > 0 && keys[id - 1]! > keys[id]!) isSorted = false;
  }
  if (isSorted) return ids;
  sortByWords(ids, {
    read: (group, from, to, _depth, words) => {
      for (let index = from; index < to; index++) words[group[index]!] = keys[group[index]!]!;
      return -1;
    },
    exact: true,
    order: (a, b) => keys[a]! - keys[b]!,
  });
  return ids;
}
