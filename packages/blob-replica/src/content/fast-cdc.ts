import { BlobError } from "../errors.js";
import { copyOf } from "../own-bytes.js";

export interface ChunkerOptions {
  /** What chunks are like on average: a power of two from 1 KiB to 16 MiB. Chunks have from a quarter of it to four times as much. Default 64 KiB. */
  readonly averageBytes?: number;
}

/** Of the gear table. Another one would cut everywhere else: it never changes. */
const gearSeed = 0x626c_6f62_2d67_6561n; // "blob-gea"

/**
 * 256 random words, from SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014): the upper half of each of its first 256
 * numbers.
 */
export function gearTable(): Uint32Array {
  const table = new Uint32Array(256);
  let state = gearSeed;
  for (let i = 0; i < table.length; i++) {
    state = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n);
    let mixed = state;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d0_49bb_1331_11ebn);
    mixed ^= mixed >> 31n;
    table[i] = Number(mixed >> 32n);
  }
  return table;
}

/**
 * Cuts bytes where their content says so, so that a change moves the cuts near it only. FastCDC (Xia et al., FastCDC: a Fast and Efficient Content-Defined
 * Chunking Approach for Data Deduplication, USENIX ATC 2016) with a 32-bit gear hash: no cut in the first quarter of the average, which is not hashed; then
 * normalized chunking of level 2, which wants two bits more than the average has up to it, and two bits less beyond. The bits are the upper ones, so that up to 32 bytes
 * decide.
 */
export class Chunker {
  readonly averageBytes: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly #gear: Uint32Array = gearTable();
  readonly #maskBefore: number;
  readonly #maskBeyond: number;
  /** The chunk that is not cut yet. */
  #open: Uint8Array;
  #length = 0;
  #hash = 0;

  /** @throws BlobError "invalid-argument" */
  constructor(options: ChunkerOptions = {}) {
    const average = options.averageBytes ?? 64 * 1024;
    const bits = Math.log2(average);
    if (!Number.isInteger(bits) || bits < 10 || bits > 24) {
      throw new BlobError(
        "invalid-argument",
        `averageBytes is a power of two from 1024 to 16777216, not ${average}`,
      );
    }
    this.averageBytes = average;
    this.minBytes = average / 4;
    this.maxBytes = average * 4;
    this.#maskBefore = (-1 << (32 - bits - 2)) | 0;
    this.#maskBeyond = (-1 << (32 - bits + 2)) | 0;
    this.#open = new Uint8Array(average);
  }

  /** The chunks that these bytes complete: copies, which nobody changes. */
  *push(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    for (let at = 0; at < bytes.length; ) {
      const end = this.#scan(bytes, at);
      const cut = end !== undefined;
      const upTo = end ?? bytes.length;
      if (cut && this.#length === 0) {
        yield copyOf(bytes.subarray(at, upTo));
      } else {
        this.#keep(bytes.subarray(at, upTo));
        if (cut) yield this.#take();
      }
      if (cut) this.#hash = 0;
      at = upTo;
    }
  }

  /** The last chunk; undefined when there is nothing left. */
  end(): Uint8Array | undefined {
    this.#hash = 0;
    return this.#length === 0 ? undefined : this.#take();
  }

  #keep(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#open.length) {
      const larger = new Uint8Array(Math.min(this.maxBytes, Math.max(length, this.#open.length * 2)));
      larger.set(this.#open.subarray(0, this.#length));
      this.#open = larger;
    }
    this.#open.set(bytes, this.#length);
    this.#length = length;
  }

  #take(): Uint8Array {
    const chunk = this.#open.slice(0, this.#length);
    this.#length = 0;
    return chunk;
  }

  /** Where in `bytes` the open chunk ends; undefined when it goes on. */
  #scan(bytes: Uint8Array, from: number): number | undefined {
    const gear = this.#gear;
    // Positions in the chunk, as positions in these bytes.
    const start = from - this.#length;
    const max = Math.min(bytes.length, start + this.maxBytes);
    let at = Math.max(from, Math.min(max, start + this.minBytes));
    let hash = this.#hash;
    const normal = Math.min(max, start + this.averageBytes);
    const before = this.#maskBefore;
    for (; at < normal; at++) {
      hash = ((hash << 1) + (gear[bytes[at] as number] as number)) | 0;
      if ((hash & before) === 0) return at + 1;
    }
    const beyond = this.#maskBeyond;
    for (; at < max; at++) {
      hash = ((hash << 1) + (gear[bytes[at] as number] as number)) | 0;
      if ((hash & beyond) === 0) return at + 1;
    }
    this.#hash = hash;
    return max === start + this.maxBytes ? max : undefined;
  }
}
