/**
 * When a server that does not answer is given up: the phi accrual failure detector of N. Hayashibara, X. Défago, R. Yared and
 * T. Katayama, "The φ Accrual Failure Detector", SRDS 2004, and a limit in milliseconds above it.
 *
 * Phi is -log10 of the chance that an answer still comes, if the times between answers are normally distributed as those seen
 * lately. Since that only grows while a server is silent, the moment at which it passes the threshold is known in advance:
 * mean + z * deviation, where z belongs to the threshold. So one timer is enough, and nothing is polled.
 */

/** The times between a server's last answers. Immutable. */
export interface Intervals {
  readonly values: readonly number[];
  readonly sum: number;
  readonly sumOfSquares: number;
}

/** How many times between answers are looked at. Enough for a mean and a deviation, and few enough to forget a bad day in a minute. */
export const maxIntervals = 50;

export const noIntervals: Intervals = { values: [], sum: 0, sumOfSquares: 0 };

export function addInterval(intervals: Intervals, ms: number): Intervals {
  const { values } = intervals;
  const kept = values.length < maxIntervals ? values.slice() : values.slice(values.length - maxIntervals + 1);
  kept.push(ms);
  // Summed anew each time it is full: a running sum would gather rounding errors over months.
  let sum = 0;
  let sumOfSquares = 0;
  for (const value of kept) {
    sum += value;
    sumOfSquares += value * value;
  }
  return { values: kept, sum, sumOfSquares };
}

export interface SilenceLimits {
  /** From {@link zOf}. */
  readonly z: number;
  /** How far apart probes are meant to start, without the jitter and with the cap on probes. */
  readonly intervalMs: number;
  /** The longest silence whatever phi says. */
  readonly maxSilenceMs: number;
}

/**
 * The silence after which a server is given up.
 *
 * Two floors keep a server that was very regular from being given up for one late answer: the mean is never taken for less than the
 * interval of the probes, the deviation never for less than a quarter of it. With probes each 250 ms and phi 8 that is 250 + 5.61 * 62.5 =
 * 600 ms, so an answer that is late by 300 ms after 250 is always in time, even as the first late one.
 */
export function silenceLimitMs(intervals: Intervals, { z, intervalMs, maxSilenceMs }: SilenceLimits): number {
  const count = intervals.values.length;
  const mean = count === 0 ? 0 : intervals.sum / count;
  const variance = count === 0 ? 0 : intervals.sumOfSquares / count - mean * mean;
  const deviation = Math.max(Math.sqrt(Math.max(0, variance)), intervalMs / 4);
  return Math.min(maxSilenceMs, Math.max(mean, intervalMs) + z * deviation);
}

/** The z for which a normally distributed value is larger than mean + z * deviation with the chance 10 ** -phi. */
export function zOf(phi: number): number {
  let low = 0;
  let high = 40;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (-log10Tail(middle) < phi) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * log10 of the chance of more than z deviations above the mean, for z >= 0: the continued fraction of Laplace for Mills' ratio where it
 * converges well, a series below.
 */
function log10Tail(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z < 3) {
    // 1/2 - density * (z + z^3/3 + z^5/(3*5) + ...)
    let term = z;
    let sum = z;
    for (let n = 3; term > 1e-17 * sum; n += 2) {
      term *= (z * z) / n;
      sum += term;
    }
    return Math.log10(0.5 - density * sum);
  }
  let fraction = z;
  for (let n = 60; n > 0; n--) fraction = z + n / fraction;
  return -((z * z) / 2) * Math.LOG10E - Math.log10(Math.sqrt(2 * Math.PI)) - Math.log10(fraction);
}
