import type { LogPoint } from "./log-scanner.js";

const SPACING_BYTES = 256 * 1024;
const MAX_LOGS = 4096;

/** Points in logs from which a read can start, so that a read from the middle scans at most a few hundred KiB before it. */
export class LogIndex {
  readonly #points = new Map<string, LogPoint[]>();

  /** Keeps the point if it is far enough behind the last one. Points of a log come from walks that started at one of its points. */
  add(log: string, point: LogPoint): void {
    let points = this.#points.get(log);
    if (!points) {
      points = [];
      this.#points.set(log, points);
      if (this.#points.size > MAX_LOGS) this.#points.delete(this.#points.keys().next().value as string);
    }
    const last = points.at(-1);
    if (!last || point.offset >= last.offset + SPACING_BYTES) points.push(point);
  }

  /** The last known point before a sequence. */
  before(log: string, sequence: number): LogPoint | undefined {
    const points = this.#points.get(log) ?? [];
    let low = 0;
    let high = points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((points[middle] as LogPoint).sequence < sequence) low = middle + 1;
      else high = middle;
    }
    return points[low - 1];
  }

  delete(log: string): void {
    this.#points.delete(log);
  }
}
