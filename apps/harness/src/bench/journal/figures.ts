import type { Row } from "../benchmark.js";
import { type Measured, toRow } from "../rows.js";
import type { Figures } from "./call.js";
import type { Part } from "./plan.js";

export const GO = "Go client";

/** What the windows of one of the part's `bare` told. */
export interface BareFigures {
  readonly name: string;
  readonly figures: readonly Figures[];
}

/** The rows of a part, from what its windows told on each side. */
export function rowsOf(
  bench: string,
  { name, metrics, alone = false }: Pick<Part, "name" | "metrics" | "alone">,
  ours: readonly Figures[],
  theirs: readonly Figures[],
  bare: readonly BareFigures[] = [],
): Row[] {
  return metrics.flatMap((metric) => {
    const { unit, better, of, goal, ownGoal } = metric;
    const own: Measured = {
      bench,
      metric: metric.name === "" ? name : `${name}: ${metric.name}`,
      unit,
      better,
      ours: ours.map(of),
    };
    // With a peer a goal is about the ratio, so what has a goal of its own has a row of its own, too.
    const rows =
      ownGoal === undefined && !alone ? [] : [toRow({ ...own, ...(ownGoal && { goal: ownGoal }) })];
    if (alone) return rows;
    return [
      ...rows,
      toRow({ ...own, peer: GO, theirs: theirs.map(of), ...(goal && { goal }) }),
      ...bare.map(({ name: peer, figures }) => toRow({ ...own, peer, theirs: figures.map(of) })),
    ];
  });
}

/** What would make a window worthless; undefined when it did what it should. */
export function complaint(call: Part["call"], figures: Figures): string | undefined {
  const { mode, bytes, count, size } = call;
  const expected = bytes ?? (size === undefined ? undefined : (count ?? 1) * size);
  if (expected !== undefined && figures.bytes !== expected)
    return `it moved ${figures.bytes} bytes instead of ${expected}`;
  if (mode === "fragments" && figures.directBytes !== figures.bytes)
    return `only ${figures.directBytes ?? 0} of ${figures.bytes} bytes were read directly`;
  return undefined;
}
