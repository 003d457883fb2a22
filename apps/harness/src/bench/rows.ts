import type { Goal, Row } from "./benchmark.js";
import { median, minMax } from "./stats.js";

export interface Measured {
  readonly bench: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** One figure a window, in the order of the windows. Empty: it could not be measured. */
  readonly ours: readonly number[];
  readonly peer?: string;
  /** The peer's, of the same windows. */
  readonly theirs?: readonly number[];
  readonly goal?: Goal;
}

/** Medians, their ratio, and the spread of the ratios of windows that ran side by side. */
export function toRow(measured: Measured): Row {
  const { bench, metric, unit, better, ours, peer = null, theirs = [], goal } = measured;
  const ratios = ours.flatMap((figure, window) => {
    const other = theirs[window];
    return other === undefined || other === 0 ? [] : [figure / other];
  });
  const ratio = ratios.length > 0 ? median(ours) / median(theirs) : null;
  return {
    bench,
    metric,
    unit,
    better,
    ours: ours.length > 0 ? rounded(median(ours)) : null,
    peer,
    theirs: theirs.length > 0 ? rounded(median(theirs)) : null,
    ratio: ratio === null ? null : rounded(ratio),
    spread: roundedPair(peer === null ? minMax(ours) : minMax(ratios)),
    runs: peer === null ? ours.length : Math.max(ours.length, theirs.length),
    goal: goal?.text ?? null,
    met: goal === undefined ? null : isMet(goal, peer === null ? ours : ratio === null ? [] : [ratio]),
  };
}

function isMet(
  { atLeast = 0, atMost = Number.POSITIVE_INFINITY }: Goal,
  figures: readonly number[],
): boolean {
  if (figures.length === 0) return false;
  const figure = median(figures);
  return figure >= atLeast && figure <= atMost;
}

/** Four digits are more than the machine can repeat. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

function roundedPair(pair: readonly [number, number] | null): readonly [number, number] | null {
  return pair === null ? null : [rounded(pair[0]), rounded(pair[1])];
}
