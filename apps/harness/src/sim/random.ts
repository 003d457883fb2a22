import { createHash } from "node:crypto";
import type { Random } from "@x/topic-gateway/protocol";

/**
 * Chance from a seed: xoshiro128** 1.1 by David Blackman and Sebastiano Vigna (https://prng.di.unimi.it/), which needs only 32-bit
 * arithmetic. Its state is the start of SHA-256 over the seed and the name of the stream, so that streams are independent of each
 * other and of the order in which they are made.
 */
export class SeededRandom implements Random {
  readonly #name: string;
  readonly #state: Uint32Array;

  /** `state` instead of the one that follows from the name: four words, not all zero. */
  constructor(name: string, state?: readonly number[]) {
    this.#name = name;
    const digest = createHash("sha256").update(name).digest();
    this.#state = Uint32Array.from(state ?? Array.from({ length: 4 }, (_, i) => digest.readUInt32LE(4 * i)));
  }

  /** A stream of its own, the same for the same name. */
  fork(name: string | number): SeededRandom {
    return new SeededRandom(`${this.#name}/${name}`);
  }

  /** 53 random bits, from 0 inclusive to 1 exclusive. */
  number(): number {
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; at += 4) {
      const word = this.#next();
      for (let i = at; i < Math.min(at + 4, count); i++) bytes[i] = word >>> (8 * (i - at));
    }
    return bytes;
  }

  /** `from` inclusive to `to` exclusive. */
  between(from: number, to: number): number {
    return from + this.number() * (to - from);
  }

  /** A whole number, both inclusive. */
  integer(from: number, to: number): number {
    return from + Math.floor(this.number() * (to - from + 1));
  }

  chance(probability: number): boolean {
    return this.number() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(this.number() * from.length)];
    if (found === undefined) throw new RangeError("there is nothing to pick from");
    return found;
  }

  #next(): number {
    const s = this.#state;
    // The indices are constants below 4.
    let [s0, s1, s2, s3] = s as unknown as [number, number, number, number];
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    const t = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= t;
    s3 = rotate(s3, 11);
    s[0] = s0;
    s[1] = s1;
    s[2] = s2;
    s[3] = s3;
    return result;
  }
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
