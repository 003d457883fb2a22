import { type Ref, refBytes, refFromBytes } from "../ref.js";

const slotBytes = refBytes + 1;
const firstSlots = 16;

/** Open addressing with linear probing; the byte after a ref has its flags, and is 0 in an empty slot. */
interface Shard {
  bytes: Uint8Array;
  /** A power of two. */
  slots: number;
  used: number;
}

/**
 * Refs, packed, with up to eight flags each: 47 to 94 bytes for each ref. 256 tables by the first byte, so that growing copies a small part. Refs are hashes: four
 * of their bytes are the place in the table.
 */
export class RefSet {
  readonly #shards: (Shard | undefined)[] = new Array<Shard | undefined>(256);
  readonly #key: Buffer = Buffer.alloc(refBytes);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Sets the flags; returns those that were not set before. */
  add(ref: Ref, flags: number): number {
    this.#key.write(ref, "hex");
    const first = this.#key[0] as number; // 32 bytes
    let shard = this.#shards[first];
    if (shard === undefined) {
      shard = { bytes: new Uint8Array(firstSlots * slotBytes), slots: firstSlots, used: 0 };
      this.#shards[first] = shard;
    }
    let at = find(shard, this.#key, 0);
    const before = shard.bytes[at + refBytes] as number; // inside
    if (before === 0) {
      if (shard.used >= shard.slots * 0.7) {
        grow(shard);
        at = find(shard, this.#key, 0);
      }
      shard.bytes.set(this.#key, at);
      shard.used++;
      this.#size++;
    }
    shard.bytes[at + refBytes] = before | flags;
    return flags & ~before;
  }

  /** The ref stays, with a flag less. At least one must be left. */
  clear(ref: Ref, flag: number): void {
    this.#key.write(ref, "hex");
    const shard = this.#shards[this.#key[0] as number];
    if (shard === undefined) return;
    const at = find(shard, this.#key, 0) + refBytes;
    shard.bytes[at] = (shard.bytes[at] as number) & ~flag;
  }

  has(ref: Ref): boolean {
    this.#key.write(ref, "hex");
    return this.hasBytes(this.#key, 0);
  }

  /** The ref whose bytes begin at `at`. */
  hasBytes(bytes: Uint8Array, at: number): boolean {
    const shard = this.#shards[bytes[at] as number];
    return shard !== undefined && shard.bytes[find(shard, bytes, at) + refBytes] !== 0;
  }

  /** In no order. Nothing may be added meanwhile. */
  *entries(): Generator<{ readonly ref: Ref; readonly flags: number }, void, undefined> {
    for (const shard of this.#shards) {
      if (shard === undefined) continue;
      for (let at = 0; at < shard.bytes.length; at += slotBytes) {
        const flags = shard.bytes[at + refBytes] as number;
        if (flags !== 0) yield { ref: refFromBytes(shard.bytes.subarray(at, at + refBytes)), flags };
      }
    }
  }
}

/** Where the ref is, or the empty slot for it. */
function find(shard: Shard, key: Uint8Array, keyAt: number): number {
  const mask = shard.slots - 1;
  const word =
    ((key[keyAt + 1] as number) << 24) |
    ((key[keyAt + 2] as number) << 16) |
    ((key[keyAt + 3] as number) << 8) |
    (key[keyAt + 4] as number);
  for (let slot = word & mask; ; slot = (slot + 1) & mask) {
    const at = slot * slotBytes;
    if (shard.bytes[at + refBytes] === 0 || sameRef(shard.bytes, at, key, keyAt)) return at;
  }
}

function sameRef(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number): boolean {
  for (let i = 1; i < refBytes; i++) if (a[aAt + i] !== b[bAt + i]) return false;
  return true;
}

function grow(shard: Shard): void {
  const old = shard.bytes;
  shard.slots *= 2;
  shard.bytes = new Uint8Array(shard.slots * slotBytes);
  for (let at = 0; at < old.length; at += slotBytes) {
    if (old[at + refBytes] === 0) continue;
    shard.bytes.set(old.subarray(at, at + slotBytes), find(shard, old, at));
  }
}
