/**
 * The scheduler's own chance: mulberry32 (Tommy Ettinger, 2017), a generator with one word of state. It decides between servers and
 * spreads pauses, so its period of 2 ** 32 is long enough, and a state that is one number is easy to replay.
 */
export interface Random {
  /** An unsigned 32-bit integer. */
  word: number;
}

/** From 0 (inclusive) to 1 (exclusive). */
export function draw(random: Random): number {
  random.word = (random.word + 0x6d2b79f5) >>> 0;
  let mixed = random.word;
  mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

/** An index below `count`. */
export function drawIndex(random: Random, count: number): number {
  return Math.floor(draw(random) * count);
}
