import { isBytes } from "./bytes.js";
import { describeValue, SpaceError } from "./space-error.js";

// MurmurHash3_x64_128 by Austin Appleby, who placed it in the public domain: https://github.com/aappleby/smhasher,
// MurmurHash3.cpp. JavaScript has no fast 64-bit integers, so every 64-bit word is two 32-bit halves here.

const scratchBytes = 4096;

// Two buffers are shared by all calls, against the habit of having no mutable state in modules: a call fills them and reads
// them again before it returns, nothing can run in between, and without them each hash would allocate.
const scratch = new Uint8Array(scratchBytes);
const resultHalves = new Uint32Array(4);
const resultWords = new BigUint64Array(resultHalves.buffer);
/** Where the low half of a word is: 0 on little-endian machines. */
const low: 0 | 1 = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1;
const high: 0 | 1 = low === 0 ? 1 : 0;

const encoder = new TextEncoder();

/** The upper 32 bits of the unsigned product of two 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const upper = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (upper >>> 16)) | 0;
}

/** The carry of `sum = a + b`, all of 32 bits. */
function carry(sum: number, a: number): number {
  return sum >>> 0 < a >>> 0 ? 1 : 0;
}

/** Four bytes from `at` as a little-endian number, as far as they are before `end`. */
function readTail(bytes: Uint8Array, at: number, end: number): number {
  let word = 0;
  for (let index = Math.min(at + 4, end) - 1; index >= at; index--) word = (word << 8) | bytes[index]!;
  return word;
}

/** Hashes the first `length` bytes into `resultHalves`. */
function hashBytes(bytes: Uint8Array, length: number, seed: number): void {
  // c1 is 87c37b91 114253d5 and c2 is 4cf5ad43 2745937f.
  let h1High = 0;
  let h1Low = seed | 0;
  let h2High = 0;
  let h2Low = seed | 0;
  let at = 0;

  while (at < length) {
    const whole = at + 16 <= length;
    let k1Low: number;
    let k1High: number;
    let k2Low: number;
    let k2High: number;
    if (whole) {
      k1Low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      k1High = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
      k2Low = bytes[at + 8]! | (bytes[at + 9]! << 8) | (bytes[at + 10]! << 16) | (bytes[at + 11]! << 24);
      k2High = bytes[at + 12]! | (bytes[at + 13]! << 8) | (bytes[at + 14]! << 16) | (bytes[at + 15]! << 24);
    } else {
      // Bytes beyond the end count as zero, and a word of zeros leaves the state as it is: that is the tail of the original.
      k1Low = readTail(bytes, at, length);
      k1High = readTail(bytes, at + 4, length);
      k2Low = readTail(bytes, at + 8, length);
      k2High = readTail(bytes, at + 12, length);
    }

    // h1 ^= rotl(k1 * c1, 31) * c2
    let productHigh =
      (multiplyHigh(k1Low, 0x114253d5) + Math.imul(k1High, 0x114253d5) + Math.imul(k1Low, 0x87c37b91)) | 0;
    let productLow = Math.imul(k1Low, 0x114253d5);
    let rotatedHigh = (productHigh << 31) | (productLow >>> 1);
    let rotatedLow = (productLow << 31) | (productHigh >>> 1);
    h1High ^=
      multiplyHigh(rotatedLow, 0x2745937f) +
      Math.imul(rotatedHigh, 0x2745937f) +
      Math.imul(rotatedLow, 0x4cf5ad43);
    h1Low ^= Math.imul(rotatedLow, 0x2745937f);

    if (whole) {
      // h1 = (rotl(h1, 27) + h2) * 5 + 0x52dce729
      rotatedHigh = (h1High << 27) | (h1Low >>> 5);
      rotatedLow = (h1Low << 27) | (h1High >>> 5);
      h1Low = (rotatedLow + h2Low) | 0;
      h1High = (rotatedHigh + h2High + carry(h1Low, h2Low)) | 0;
      h1High = (Math.imul(h1High, 5) + multiplyHigh(h1Low, 5)) | 0;
      productLow = Math.imul(h1Low, 5);
      h1Low = (productLow + 0x52dce729) | 0;
      h1High = (h1High + carry(h1Low, productLow)) | 0;
    }

    // h2 ^= rotl(k2 * c2, 33) * c1; rotating by 33 is swapping the halves and rotating by 1
    productHigh =
      (multiplyHigh(k2Low, 0x2745937f) + Math.imul(k2High, 0x2745937f) + Math.imul(k2Low, 0x4cf5ad43)) | 0;
    productLow = Math.imul(k2Low, 0x2745937f);
    rotatedHigh = (productLow << 1) | (productHigh >>> 31);
    rotatedLow = (productHigh << 1) | (productLow >>> 31);
    h2High ^=
      multiplyHigh(rotatedLow, 0x114253d5) +
      Math.imul(rotatedHigh, 0x114253d5) +
      Math.imul(rotatedLow, 0x87c37b91);
    h2Low ^= Math.imul(rotatedLow, 0x114253d5);

    if (whole) {
      // h2 = (rotl(h2, 31) + h1) * 5 + 0x38495ab5
      rotatedHigh = (h2High << 31) | (h2Low >>> 1);
      rotatedLow = (h2Low << 31) | (h2High >>> 1);
      h2Low = (rotatedLow + h1Low) | 0;
      h2High = (rotatedHigh + h1High + carry(h2Low, h1Low)) | 0;
      h2High = (Math.imul(h2High, 5) + multiplyHigh(h2Low, 5)) | 0;
      productLow = Math.imul(h2Low, 5);
      h2Low = (productLow + 0x38495ab5) | 0;
      h2High = (h2High + carry(h2Low, productLow)) | 0;
    }
    at += 16;
  }

  h1Low ^= length;
  h2Low ^= length;

  h1Low = (h1Low + h2Low) | 0;
  h1High = (h1High + h2High + carry(h1Low, h2Low)) | 0;
  h2Low = (h2Low + h1Low) | 0;
  h2High = (h2High + h1High + carry(h2Low, h1Low)) | 0;

  // The final mix of each word: x ^= x >>> 33; x *= ff51afd7ed558ccd; x ^= x >>> 33; x *= c4ceb9fe1a85ec53; x ^= x >>> 33.
  h1Low ^= h1High >>> 1;
  h1High =
    (multiplyHigh(h1Low, 0xed558ccd) + Math.imul(h1High, 0xed558ccd) + Math.imul(h1Low, 0xff51afd7)) | 0;
  h1Low = Math.imul(h1Low, 0xed558ccd) ^ (h1High >>> 1);
  h1High =
    (multiplyHigh(h1Low, 0x1a85ec53) + Math.imul(h1High, 0x1a85ec53) + Math.imul(h1Low, 0xc4ceb9fe)) | 0;
  h1Low = Math.imul(h1Low, 0x1a85ec53) ^ (h1High >>> 1);

  h2Low ^= h2High >>> 1;
  h2High =
    (multiplyHigh(h2Low, 0xed558ccd) + Math.imul(h2High, 0xed558ccd) + Math.imul(h2Low, 0xff51afd7)) | 0;
  h2Low = Math.imul(h2Low, 0xed558ccd) ^ (h2High >>> 1);
  h2High =
    (multiplyHigh(h2Low, 0x1a85ec53) + Math.imul(h2High, 0x1a85ec53) + Math.imul(h2Low, 0xc4ceb9fe)) | 0;
  h2Low = Math.imul(h2Low, 0x1a85ec53) ^ (h2High >>> 1);

  h1Low = (h1Low + h2Low) | 0;
  h1High = (h1High + h2High + carry(h1Low, h2Low)) | 0;
  h2Low = (h2Low + h1Low) | 0;
  h2High = (h2High + h1High + carry(h2Low, h1Low)) | 0;

  resultHalves[low] = h1Low;
  resultHalves[high] = h1High;
  resultHalves[2 + low] = h2Low;
  resultHalves[2 + high] = h2High;
}

/** Hashes a string's UTF-8 or the bytes into `resultHalves`. */
function hash(input: string | Uint8Array, seed: number): void {
  if (typeof input !== "string") {
    if (!isBytes(input)) {
      throw new SpaceError(
        "invalid-argument",
        `What is hashed is a string or a Uint8Array, and this is ${describeValue(input)}.`,
      );
    }
    hashBytes(input, input.length, seed);
    return;
  }
  const { length } = input;
  // A UTF-16 unit becomes three bytes at most.
  if (length > scratchBytes / 3) {
    const bytes = encoder.encode(input);
    hashBytes(bytes, bytes.length, seed);
    return;
  }
  let index = 0;
  for (; index < length; index++) {
    const unit = input.charCodeAt(index);
    if (unit > 0x7f) break;
    scratch[index] = unit;
  }
  hashBytes(scratch, index === length ? length : encoder.encodeInto(input, scratch).written, seed);
}

/** The 128 bits of a hash, as two unsigned 64-bit words. */
export interface Murmur3Hash {
  readonly h1: bigint;
  readonly h2: bigint;
}

/**
 * MurmurHash3_x64_128. Not a cryptographic hash: whoever chooses the input can make collisions.
 *
 * @param input bytes, or a string that is hashed as its UTF-8 bytes (lone surrogates as U+FFFD)
 * @param seed an integer from 0 to 2 ** 32 - 1; default 0
 * @throws SpaceError "invalid-argument"
 */
export function murmur3x64_128(input: string | Uint8Array, seed: number = 0): Murmur3Hash {
  if (typeof seed !== "number" || seed >>> 0 !== seed) {
    throw new SpaceError(
      "invalid-argument",
      `A seed is an integer from 0 to 2 ** 32 - 1, and this is ${describeValue(seed)}.`,
    );
  }
  hash(input, seed);
  return { h1: resultWords[0]!, h2: resultWords[1]! };
}

/**
 * The first word (`h1`) of {@link murmur3x64_128} with seed 0: a point of `hash64`.
 *
 * @throws SpaceError "invalid-argument" when the input is neither a string nor bytes
 */
export function murmur3Hash64(input: string | Uint8Array): bigint {
  hash(input, 0);
  return resultWords[0]!;
}

/**
 * The first word (`h1`) of {@link murmur3x64_128} with seed 0, taken as an unsigned integer, modulo `modulus`.
 * The same as `Number(murmur3Hash64(input) % BigInt(modulus))` without a bigint.
 *
 * @param modulus an integer from 1 to 2 ** 32
 * @throws SpaceError "invalid-argument"
 */
export function murmur3Mod(input: string | Uint8Array, modulus: number): number {
  if (!Number.isInteger(modulus) || modulus < 1 || modulus > 0x1_0000_0000) {
    throw new SpaceError(
      "invalid-argument",
      `A modulus is an integer from 1 to 2 ** 32, and this is ${describeValue(modulus)}.`,
    );
  }
  hash(input, 0);
  const upper = resultHalves[high]!;
  const lower = resultHalves[low]!;
  // Long division, 16 bits at a time. Below 2 ** 16 a remainder leaves room for them in 32 bits, where the engine has a fast
  // operator; above that doubles are exact up to 2 ** 53.
  if (modulus <= 0x10000) {
    const divisor = modulus >>> 0;
    const first = ((((upper % divisor) << 16) | (lower >>> 16)) >>> 0) % divisor;
    return (((first << 16) | (lower & 0xffff)) >>> 0) % divisor;
  }
  const first = ((upper % modulus) * 0x10000 + (lower >>> 16)) % modulus;
  return (first * 0x10000 + (lower & 0xffff)) % modulus;
}
