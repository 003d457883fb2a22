import { TopicError } from "../errors.js";
import type { IdRun } from "../protocol/buffer-api.js";
import { messagesInFrames } from "../protocol/frame.js";

/** Messages of a segment as they came from its server: checked, dense, and not yet taken apart. */
export interface SegmentChunk {
  readonly bytes: Buffer;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** For each message where its body starts in `bytes` and where it ends, two numbers. */
  readonly bounds: readonly number[];
  /** The id times. */
  readonly runs: readonly IdRun[];
}

/**
 * The messages behind `last` and up to `limit`, or undefined if there are none. What came before is dropped: a log may hold an
 * append twice that failed and was made again.
 *
 * @throws TopicError "corrupt" for damaged frames and for a gap
 */
export function checkChunk(
  bytes: Buffer,
  { last, limit }: { readonly last: number; readonly limit: number },
): SegmentChunk | undefined {
  const bounds: number[] = [];
  const runs: { time: bigint; sequence: number; count: number }[] = [];
  let run: { time: bigint; sequence: number; count: number } | undefined;
  let nextTime = 0n;
  let sequence = last;
  for (const frame of messagesInFrames(bytes)) {
    if (frame.sequence <= sequence) continue;
    if (frame.sequence !== sequence + 1) {
      throw new TopicError(
        "corrupt",
        `sequence ${sequence + 1} is missing: ${frame.sequence} came after ${sequence}`,
      );
    }
    if (frame.sequence > limit) break;
    sequence = frame.sequence;
    bounds.push(frame.next - frame.body.length, frame.next);
    if (run && frame.time === nextTime) run.count += 1;
    else {
      run = { time: frame.time, sequence, count: 1 };
      runs.push(run);
    }
    nextTime = frame.time + 1n;
  }
  if (sequence === last) return undefined;
  return { bytes, firstSequence: last + 1, lastSequence: sequence, bounds, runs };
}

/** The id time of a sequence among ascending runs, or undefined. */
export function timeInRuns(runs: readonly IdRun[], sequence: number): bigint | undefined {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((runs[middle] as IdRun).sequence <= sequence) low = middle + 1;
    else high = middle;
  }
  const run = runs[low - 1];
  if (!run || sequence >= run.sequence + run.count) return undefined;
  return run.time + BigInt(sequence - run.sequence);
}
