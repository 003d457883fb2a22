import type { Standing } from "./standing.js";

/** How many connected servers that were judged there are, and what they are. Immutable. */
export interface Tally {
  readonly judged: number;
  readonly well: number;
  readonly usable: number;
  readonly silent: number;
  /** Those ejected for failed calls. */
  readonly ejected: number;
  /** Those held down because they fell too often, connected or not. */
  readonly damped: number;
}

/** One server's part in it. */
export interface Place {
  readonly standing: Standing;
  readonly ejected: boolean;
  readonly damped: boolean;
}

/**
 * - `off`: only those that are well are used.
 * - `usable`: too few are well, so those that answer badly are used as well: more likely the probe is wrong than nearly all of them.
 * - `silent`: nobody answers, and there are several of them: more likely it is us. So the silent ones are used.
 */
export type Panic = "off" | "usable" | "silent";

export const emptyTally: Tally = { judged: 0, well: 0, usable: 0, silent: 0, ejected: 0, damped: 0 };

/** How many silent servers it takes to suspect oneself. */
const fewestSilent = 3;

/** @param from undefined for a newcomer @param to undefined for one that left */
export function move(tally: Tally, from: Place | undefined, to: Place | undefined): Tally {
  const change = (is: (place: Place) => boolean) =>
    (to !== undefined && is(to) ? 1 : 0) - (from !== undefined && is(from) ? 1 : 0);
  return {
    judged: tally.judged + change(({ standing }) => standing !== "unjudged"),
    well: tally.well + change(({ standing }) => standing === "well"),
    usable: tally.usable + change(({ standing }) => standing === "usable"),
    silent: tally.silent + change(({ standing }) => standing === "silent"),
    ejected: tally.ejected + change(({ standing, ejected }) => ejected && standing !== "unjudged"),
    damped: tally.damped + change(({ damped }) => damped),
  };
}

/** @param threshold below this share of well servers there is panic */
export function panicOf(tally: Tally, threshold: number): Panic {
  if (tally.silent >= fewestSilent && tally.silent === tally.judged) return "silent";
  return tally.usable > 0 && tally.well < threshold * tally.judged ? "usable" : "off";
}

/** Whether one more server may be ejected: always a first one, and then no more than the share. */
export function mayEject({ ejected, judged }: Tally, maxEjectedShare: number): boolean {
  return maxEjectedShare > 0 && ejected < Math.max(1, Math.floor(maxEjectedShare * judged));
}
