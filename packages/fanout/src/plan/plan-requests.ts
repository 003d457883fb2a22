import { FanoutError } from "../errors.js";
import type { LocatedViews, Plan, PlannedRequest, PlanOptions } from "./contract.js";
import { planTier, type Tier, TierMemory } from "./plan-tier.js";
import { sortByWords } from "./sort-by-words.js";
import { UncoveredRanks } from "./uncovered-ranks.js";

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
  const uncovered = new UncoveredRanks(options.ranks);
  // Each tier writes what it covers behind what the one before it has covered; the requests share this memory.
  const covered = new Uint32Array(options.ranks.length);
  const memory = new TierMemory(located.views.length);
  const requests: PlannedRequest[] = [];
  let at = 0;
  for (const tier of tiersOf(located, options.tierOf)) {
    const start = at;
    for (const view of tier.byFirst)
      at = uncovered.take(located.first[view]!, located.end[view]!, covered, at);
    if (at === start) continue;
    for (const request of planTier(located, tier, covered.subarray(start, at), memory, options))
      requests.push(request);
  }
  return { requests, uncovered: uncovered.toArray() };
}

/** The usable views by tier, the lowest tier first. */
function tiersOf(located: LocatedViews<unknown>, tierOf: PlanOptions["tierOf"]): readonly Tier[] {
  const tiers = new Map<number, Tier>();
  const tierOfView: (Tier | undefined)[] = [];
  for (let view = 0; view < located.views.length; view++) {
    const number = tierOf(view);
    let tier = tiers.get(number);
    // NaN is no tier either.
    if (tier === undefined && number < Number.POSITIVE_INFINITY) {
      tier = { byFirst: [], byEnd: [] };
      tiers.set(number, tier);
    }
    tierOfView.push(tier);
  }
  for (const view of ascending(located.first)) tierOfView[view]?.byFirst.push(view);
  for (const view of ascending(located.end)) tierOfView[view]?.byEnd.push(view);
  return [...tiers].sort(([a], [b]) => a - b).map(([, tier]) => tier);
}

/** The indexes of the keys, in the order of the keys. */
function ascending(keys: Uint32Array): Uint32Array {
  const ids = new Uint32Array(keys.length);
  for (let id = 0; id < ids.length; id++) ids[id] = id;
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
