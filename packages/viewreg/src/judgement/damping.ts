import type { DampingSettings } from "./settings.js";

/**
 * Flap damping after RFC 2439, "BGP Route Flap Damping": each fall adds 1 to a penalty that halves every half-life; a server whose
 * penalty has passed `suppress` is held down until it is at `reuse`. The defaults are what routers commonly have (1,000 for a flap,
 * suppress 2,000, reuse 750, half-life 15 minutes, at most 4 half-lives), with 1 for 1,000 and seconds for minutes: routes are
 * withdrawn for minutes, servers restart in seconds. So one fall and two falls in a row cost nothing, the third within a few seconds does.
 */
export interface Penalty {
  readonly value: number;
  readonly atMs: number;
  readonly suppressed: boolean;
}

export const noPenalty: Penalty = { value: 0, atMs: 0, suppressed: false };

export function penaltyAt({ value, atMs }: Penalty, nowMs: number, { halfLifeMs }: DampingSettings): number {
  return value * 2 ** (-(nowMs - atMs) / halfLifeMs);
}

export function addFall(penalty: Penalty, nowMs: number, settings: DampingSettings): Penalty {
  // The ceiling of the RFC: so high that it is down at `reuse` again after `maxMs`.
  const ceiling = settings.reuse * 2 ** (settings.maxMs / settings.halfLifeMs);
  const value = Math.min(Math.max(ceiling, settings.suppress), penaltyAt(penalty, nowMs, settings) + 1);
  return { value, atMs: nowMs, suppressed: penalty.suppressed || value > settings.suppress };
}

/** When a suppressed one may be used again. */
export function reuseMs(penalty: Penalty, settings: DampingSettings): number {
  return penalty.atMs + settings.halfLifeMs * Math.log2(Math.max(1, penalty.value / settings.reuse));
}

export function release(penalty: Penalty, nowMs: number, settings: DampingSettings): Penalty {
  return penalty.suppressed && nowMs >= reuseMs(penalty, settings)
    ? { value: penaltyAt(penalty, nowMs, settings), atMs: nowMs, suppressed: false }
    : penalty;
}
