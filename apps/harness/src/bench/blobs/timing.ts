import { type Call, type Figures, opsOf } from "./call.js";

/** Runs all rounds, with what was there before collected. */
export async function timed(call: Call, round: () => Promise<unknown>): Promise<Figures> {
  const ops = opsOf(call);
  globalThis.gc?.();
  const begin = performance.now();
  for (let i = 0; i < (call.rounds ?? 1); i++) await round();
  return { ops, bytes: ops * call.size, seconds: (performance.now() - begin) / 1000 };
}

/** All of them, so many at a time. */
export async function together<T>(
  items: readonly T[],
  inFlight: number,
  run: (item: T) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) await run(items[next++]!); // next is inside
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}
