/** A newcomer's first share. */
const leastWeight = 0.1;
/** A connection that was away no longer than this may be the same process's. */
const blinkMs = 1000;

/** When a server's weight began to rise, what it lost last, and how. */
export interface Ramp {
  readonly fromMs: number | undefined;
  readonly outSinceMs: number;
}

export const noRamp: Ramp = { fromMs: undefined, outSinceMs: 0 };

/** Now it is used (again). @param reconnected whether its connection broke since it was used before */
export function enter(
  ramp: Ramp,
  nowMs: number,
  { slowStartMs, reconnected }: { readonly slowStartMs: number; readonly reconnected: boolean },
): Ramp {
  const outMs = nowMs - ramp.outSinceMs;
  const newcomer = ramp.fromMs === undefined || outMs >= slowStartMs || (reconnected && outMs >= blinkMs);
  return newcomer ? { ...ramp, fromMs: nowMs } : ramp;
}

export function leave(ramp: Ramp, nowMs: number): Ramp {
  return { ...ramp, outSinceMs: nowMs };
}

export function weightOf({ fromMs }: Ramp, nowMs: number, slowStartMs: number): number {
  if (slowStartMs === 0) return 1;
  if (fromMs === undefined) return leastWeight;
  return Math.min(1, leastWeight + ((1 - leastWeight) * (nowMs - fromMs)) / slowStartMs);
}
