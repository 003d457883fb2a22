import type { Row } from "../benchmark.js";
import { type Measured, toRow } from "../rows.js";
import type { Figures } from "./call.js";
import { BENCH, type Part, type Peer } from "./plan.js";

/** What the windows of a part told, by side, in their order. */
export interface Windows {
  readonly ours: Figures[];
  readonly peers: Map<Peer, Figures[]>;
}

/** The rows of a part: one for each peer of each metric; what has a goal of its own, or no peer, has one by itself. */
export function rowsOf({ name, metrics, peers = {} }: Part, windows: Windows): Row[] {
  const names = Object.keys(peers) as Peer[]; // its keys are peers
  return metrics.flatMap(({ name: what, unit, better, of, goals = {}, ownGoal }) => {
    const own: Measured = {
      bench: BENCH,
      metric: what === "" ? name : `${name}: ${what}`,
      unit,
      better,
      ours: windows.ours.map(of),
    };
    const alone =
      ownGoal === undefined && names.length > 0 ? [] : [toRow({ ...own, ...(ownGoal && { goal: ownGoal }) })];
    const beside = names.map((peer) => {
      const goal = goals[peer];
      return toRow({ ...own, peer, theirs: (windows.peers.get(peer) ?? []).map(of), ...(goal && { goal }) });
    });
    return [...alone, ...beside];
  });
}
