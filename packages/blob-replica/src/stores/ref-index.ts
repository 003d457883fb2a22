import { type Ref, refBytes } from "../ref.js";

const refsPerLeaf = 1024;

/** So many refs from the start of `bytes`, in order. */
interface Leaf {
  readonly bytes: Buffer;
  count: number;
}

/**
 * Refs in order, packed: 32 bytes each and at most as much again for room. Leaves of at most 1,024 refs, so that adding moves at most 32 KiB and a page of a listing
 * is one copy.
 */
export class RefIndex {
  /** None is empty, but for the only one of an empty index. */
  readonly #leaves: Leaf[] = [newLeaf()];
  readonly #key: Buffer = Buffer.alloc(refBytes);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(ref: Ref): boolean {
    const { leaf, at } = this.#find(ref);
    return this.#isAt(leaf, at);
  }

  /** False when it was there. */
  add(ref: Ref): boolean {
    let { number, leaf, at } = this.#find(ref);
    if (this.#isAt(leaf, at)) return false;
    if (leaf.count === refsPerLeaf) {
      // Refs that come in their order fill leaves to the end; others halve them.
      const half = at === refsPerLeaf ? refsPerLeaf : refsPerLeaf / 2;
      const right = newLeaf();
      leaf.bytes.copy(right.bytes, 0, half * refBytes, refsPerLeaf * refBytes);
      right.count = refsPerLeaf - half;
      leaf.count = half;
      number++;
      this.#leaves.splice(number, 0, right);
      if (at > half || half === refsPerLeaf) {
        leaf = right;
        at -= half;
      }
    }
    leaf.bytes.copy(leaf.bytes, (at + 1) * refBytes, at * refBytes, leaf.count * refBytes);
    this.#key.copy(leaf.bytes, at * refBytes);
    leaf.count++;
    this.#size++;
    return true;
  }

  /** False when there was none. */
  delete(ref: Ref): boolean {
    const { number, leaf, at } = this.#find(ref);
    if (!this.#isAt(leaf, at)) return false;
    leaf.bytes.copy(leaf.bytes, at * refBytes, (at + 1) * refBytes, leaf.count * refBytes);
    leaf.count--;
    this.#size--;
    if (leaf.count === 0 && this.#leaves.length > 1) this.#leaves.splice(number, 1);
    return true;
  }

  /** The next refs strictly after `after`, as bytes of the caller's own; undefined at the end. */
  pageAfter(after: Ref | Uint8Array | undefined): Buffer | undefined {
    const { number, at } = this.#after(after);
    const leaf = this.#leaves[number];
    if (leaf === undefined || leaf.count === 0) return undefined;
    // Not `Buffer.from`: a small page would be a part of a pool that others write to.
    const page = Buffer.allocUnsafeSlow((leaf.count - at) * refBytes);
    leaf.bytes.copy(page, 0, at * refBytes, leaf.count * refBytes);
    return page;
  }

  /** As many of the next refs strictly after `after` as there is room for: how many. 0 at the end. */
  copyAfter(after: Uint8Array | undefined, into: Uint8Array): number {
    let { number, at } = this.#after(after);
    const room = Math.floor(into.length / refBytes);
    let count = 0;
    for (let leaf = this.#leaves[number]; leaf !== undefined && count < room; leaf = this.#leaves[++number]) {
      const copied = Math.min(room - count, leaf.count - at);
      leaf.bytes.copy(into, count * refBytes, at * refBytes, (at + copied) * refBytes);
      count += copied;
      at = 0;
    }
    return count;
  }

  /** Where the refs after this one begin. */
  #after(after: Ref | Uint8Array | undefined): { number: number; at: number } {
    if (after === undefined) return { number: 0, at: 0 };
    const { number, leaf, at } = this.#find(after);
    const next = this.#isAt(leaf, at) ? at + 1 : at;
    return next === leaf.count ? { number: number + 1, at: 0 } : { number, at: next };
  }

  /** The place where the ref is or belongs. The key is in `#key` afterwards. */
  #find(ref: Ref | Uint8Array): { number: number; leaf: Leaf; at: number } {
    if (typeof ref === "string") this.#key.write(ref, "hex");
    else this.#key.set(ref);
    let low = 0;
    let high = this.#leaves.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#compare(this.#leaf(middle), 0) < 0) high = middle;
      else low = middle;
    }
    const leaf = this.#leaf(low);
    let from = 0;
    let to = leaf.count;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (this.#compare(leaf, middle) > 0) from = middle + 1;
      else to = middle;
    }
    return { number: low, leaf, at: from };
  }

  #leaf(number: number): Leaf {
    return this.#leaves[number] as Leaf; // callers stay inside
  }

  #isAt(leaf: Leaf, at: number): boolean {
    return at < leaf.count && this.#compare(leaf, at) === 0;
  }

  /** The key less the ref there. In JavaScript: refs are random, and differ in their first bytes. */
  #compare(leaf: Leaf, at: number): number {
    const { bytes } = leaf;
    const start = at * refBytes;
    for (let i = 0; i < refBytes; i++) {
      const difference = (this.#key[i] as number) - (bytes[start + i] as number); // both hold a whole ref
      if (difference !== 0) return difference;
    }
    return 0;
  }
}

function newLeaf(): Leaf {
  return { bytes: Buffer.allocUnsafeSlow(refsPerLeaf * refBytes), count: 0 };
}
