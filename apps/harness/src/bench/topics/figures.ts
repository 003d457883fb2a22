import type { Row } from "../benchmark.js";
import { type Measured, toRow } from "../rows.js";
import { goalOf, type Size } from "./plan.js";
import { labelOf, type SystemName } from "./systems.js";

interface Metric {
  readonly size: Size;
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly of: Map<SystemName, number[]>;
}

/** All that was measured, window by window, in the order in which it is shown. */
export class Figures {
  readonly #bench: string;
  readonly #metrics: Metric[] = [];

  constructor(bench: string) {
    this.#bench = bench;
  }

  /** A metric is declared before it is measured, so that it is shown also if that fails. */
  declare(
    size: Size,
    name: string,
    unit: string,
    better: "higher" | "lower",
  ): (system: SystemName, figure: number) => void {
    const of = new Map<SystemName, number[]>();
    this.#metrics.push({ size, name, unit, better, of });
    return (system, figure) => {
      const figures = of.get(system) ?? [];
      figures.push(figure);
      of.set(system, figures);
    };
  }

  /** One for each metric and peer. */
  rows(peers: readonly SystemName[]): Row[] {
    return this.#metrics.flatMap(({ size, name, unit, better, of }) =>
      peers.map((peer) => {
        const goal = goalOf(size, name, peer);
        const measured: Measured = {
          bench: this.#bench,
          metric: `${size.label}: ${name}`,
          unit,
          better,
          ours: of.get("ours") ?? [],
          peer: labelOf(peer),
          theirs: of.get(peer) ?? [],
          ...(goal && { goal }),
        };
        return toRow(measured);
      }),
    );
  }
}
