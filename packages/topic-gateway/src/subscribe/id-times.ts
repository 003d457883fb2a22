import type { IdRun } from "../protocol/buffer-api.js";
import { timeInRuns } from "./segment-chunk.js";

/** More than a consumer that acknowledges at all leaves behind. */
const MAX_RUNS = 65_536;

/**
 * The id times of the messages that were read and not committed: a bookmark names the id, an acknowledgement only the sequence. For a
 * consumer that never acknowledges they are bounded: then those of the oldest messages are forgotten.
 */
export class IdTimes {
  #runs: IdRun[] = [];
  #forgotten = 0;

  /** Of sequences up to this one nothing is known any more, for one reason or the other. */
  get forgotten(): number {
    return this.#forgotten;
  }

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
    if (this.#runs.length <= MAX_RUNS) return;
    // Half of them, so that it is seldom.
    const last = this.#runs[this.#runs.length - MAX_RUNS / 2 - 1] as IdRun;
    this.dropThrough(last.sequence + last.count - 1);
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
      this.#forgotten = run.sequence + run.count - 1;
    }
    if (gone > 0) this.#runs = this.#runs.slice(gone);
  }
}
