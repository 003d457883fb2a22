import { setImmediate } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";
import type { BenchContext } from "../benchmark.js";

/** Does something `count` times and returns a number made of the results, so that the engine cannot leave it out. */
export type Repeat = (count: number) => number;

export interface Timing {
  readonly windows: number;
  readonly windowMs: number;
}

export const fullTiming: Timing = { windows: 7, windowMs: 200 };
export const quickTiming: Timing = { windows: 2, windowMs: 20 };

const nothing = { sum: 0 };

/** Nanoseconds for one time, window by window, in which the contenders take turns. The first round is not counted. */
export async function inTurns(
  contenders: readonly Repeat[],
  { windows, windowMs }: Timing,
  { signal }: BenchContext,
): Promise<readonly number[][]> {
  const counts = contenders.map(() => 1);
  const figures: number[][] = contenders.map(() => []);
  for (let round = -1; round < windows; round++) {
    for (const [index, repeat] of contenders.entries()) {
      signal.throwIfAborted();
      let elapsedNs = elapsed(repeat, counts[index]!);
      // The first round also finds out how many times fill a window.
      while (round < 0 && elapsedNs < windowMs * 1e6) {
        counts[index] = Math.ceil(
          counts[index]! * Math.min(10, Math.max(1.2, (1.1e6 * windowMs) / elapsedNs)),
        );
        elapsedNs = elapsed(repeat, counts[index]!);
      }
      if (round >= 0) figures[index]!.push(elapsedNs / counts[index]!);
      await setImmediate();
    }
  }
  return figures;
}

function elapsed(repeat: Repeat, count: number): number {
  const start = process.hrtime.bigint();
  nothing.sum += repeat(count);
  return Math.max(1, Number(process.hrtime.bigint() - start));
}

/**
 * Bytes by which the heap grows for each time, in windows so short that the collector does not run in them; those in which it
 * did show a smaller heap and are dropped.
 */
export function heapGrowth(repeat: Repeat, count: number, windows: number): readonly number[] {
  nothing.sum += repeat(count);
  const growth: number[] = [];
  for (let window = 0; window < windows; window++) {
    const before = getHeapStatistics().used_heap_size;
    nothing.sum += repeat(count);
    const after = getHeapStatistics().used_heap_size;
    if (after >= before) growth.push((after - before) / count);
  }
  return growth;
}
