import type { OutlierSettings } from "./settings.js";

/**
 * Passive judgement by how calls went: after so many failures in a row a server is ejected for a while, longer each time, as in Envoy's
 * outlier detection. How many may be ejected at once is not decided here.
 */
export interface Outlier {
  /** Failed reports in a row. */
  readonly failures: number;
  /** How often in a row it was ejected. */
  readonly ejections: number;
  /** The end of the last ejection. */
  readonly untilMs: number;
  readonly ejected: boolean;
}

export const noOutlier: Outlier = { failures: 0, ejections: 0, untilMs: 0, ejected: false };

/** An ejection is at most this many times `ejectMs`. */
const maxMultiple = 10;

/** @param mayEject whether one more may be ejected */
export function failedCall(
  outlier: Outlier,
  nowMs: number,
  settings: OutlierSettings,
  mayEject: boolean,
): Outlier {
  // Calls that were under way when it was ejected say nothing new.
  if (outlier.ejected) return outlier;
  const failures = Math.min(outlier.failures + 1, settings.consecutiveFailures);
  if (failures < settings.consecutiveFailures || !mayEject) return { ...outlier, failures };
  // Whoever was good for longer than he was out the last time starts over.
  const good = nowMs - outlier.untilMs > outlier.ejections * settings.ejectMs;
  const ejections = Math.min(maxMultiple, good ? 1 : outlier.ejections + 1);
  return { failures: 0, ejections, untilMs: nowMs + ejections * settings.ejectMs, ejected: true };
}

export function okCall(outlier: Outlier): Outlier {
  return outlier.failures === 0 ? outlier : { ...outlier, failures: 0 };
}

export function endEjection(outlier: Outlier, nowMs: number): Outlier {
  return outlier.ejected && nowMs >= outlier.untilMs ? { ...outlier, ejected: false } : outlier;
}
