import type { IdRun } from "../protocol/buffer-api.js";
import { timeInRuns } from "./segment-chunk.js";

/** The id times of the messages that were delivered and not committed: a bookmark names the id, an acknowledgement only the sequence. */
export class IdTimes {
  #runs: IdRun[] = [];

  push(runs: readonly IdRun[]): void {
    for (const run of runs) {
      const last = this.#runs.at(-1);
      const joins =
        last !== undefined &&
        last.sequence + last.count === run.sequence &&
        last.time + BigInt(last.count) === run.time;
      if (joins) this.#runs[this.#runs.length - 1] = { ...last, count: last.count + run.count };
      else this.#runs.push(run);
    }
  }

  timeOf(sequence: number): bigint | undefined {
    return timeInRuns(this.#runs, sequence);
  }

  /** Forgets what is wholly at or below the sequence. */
  dropThrough(sequence: number): void {
    let gone = 0;
    for (const run of this.#runs) {
      if (run.sequence + run.count - 1 > sequence) break;
      gone += 1;
    }
    if (gone > 0) this.#runs = this.#runs.slice(gone);
  }
}
