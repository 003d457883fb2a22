/** How fast an observation loses weight: after a minute it counts 1/e. */
const memoryMs = 60_000;
/** Buckets per doubling: a bucket is 4.4% wide. */
const perOctave = 16;
/** The first bucket ends at 2 ** -7 ms, the last at 2 ** 22 ms, which is more than an hour. */
const lowestOctave = -7;
const buckets = (22 - lowestOctave) * perOctave + 1;
/** Weights grow with time instead of all others shrinking. They are scaled down before they get out of hand. */
const largestWeight = 2 ** 60;

/**
 * The latencies that were seen lately, in buckets of equal ratio, older ones with less weight (forward decay, Cormode et al., 2009).
 * Bounded memory, O(1) per observation.
 */
export class Latencies {
  /** How many were ever seen. */
  seen = 0;
  readonly #weights: Float64Array = new Float64Array(buckets);
  #total = 0;
  #landmarkMs = 0;
  #asked = Number.NaN;
  #answer = 0;
  #answeredAt = 0;

  observe(latencyMs: number, nowMs: number): void {
    if (this.seen === 0) this.#landmarkMs = nowMs;
    this.seen++;
    let weight = Math.exp((nowMs - this.#landmarkMs) / memoryMs);
    if (weight > largestWeight) {
      const scale = 1 / weight;
      for (let index = 0; index < buckets; index++) this.#weights[index]! *= scale;
      this.#total *= scale;
      this.#landmarkMs = nowMs;
      weight = 1;
    }
    this.#weights[bucketOf(latencyMs)]! += weight;
    this.#total += weight;
  }

  /**
   * The latency that this fraction of the weight (0 to 1, exclusive) does not exceed, rounded up to the end of a bucket. At most 1/32 of the
   * observations, and at most 64 of them, are newer than the answer: adding up the buckets for each request would cost more than
   * the rest of it.
   */
  percentile(fraction: number): number {
    const fresh = this.seen - this.#answeredAt;
    if (fraction === this.#asked && fresh * 32 <= this.seen && fresh <= 64) return this.#answer;
    this.#asked = fraction;
    this.#answeredAt = this.seen;
    let left = this.#total * fraction;
    let index = 0;
    for (; index < buckets - 1; index++) {
      left -= this.#weights[index]!;
      if (left <= 0) break;
    }
    this.#answer = 2 ** (lowestOctave + index / perOctave);
    return this.#answer;
  }
}

function bucketOf(latencyMs: number): number {
  if (!(latencyMs > 0)) return 0;
  const index = Math.ceil((Math.log2(latencyMs) - lowestOctave) * perOctave);
  return Math.min(buckets - 1, Math.max(0, index));
}
