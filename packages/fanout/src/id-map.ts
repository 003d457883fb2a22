const fewest = 16;
/** What stays when it is empty. */
const mostIdle = 1024;

/**
 * A map from integers (from 0) to objects that live for a short time and are many. For them a `Map` is slow in a way of its own: whenever it grows
 * or shrinks, V8 leaves its old table behind with a link to the new one. As soon as one of these tables has come into the old generation,
 * all later ones survive every collection of the young one, and with them whatever they held. Here nothing is left behind.
 *
 * Open addressing with linear probing and Fibonacci hashing; deleting moves the followers up (Knuth, The Art of Computer Programming, volume 3,
 * 6.4, algorithm R), so that there are no graves.
 */
export class IdMap<T extends object> {
  #ids: number[] = new Array<number>(fewest).fill(0);
  /** Undefined where there is nothing. */
  #values: (T | undefined)[] = new Array<T | undefined>(fewest).fill(undefined);
  #shift = 32 - Math.log2(fewest);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): T | undefined {
    return this.#values[this.#find(id)];
  }

  has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  set(id: number, value: T): void {
    const place = this.#find(id);
    if (this.#values[place] !== undefined) {
      this.#values[place] = value;
      return;
    }
    if (2 * (this.#size + 1) > this.#ids.length) {
      this.#resize(2 * this.#ids.length);
      this.set(id, value);
      return;
    }
    this.#ids[place] = id;
    this.#values[place] = value;
    this.#size++;
  }

  /** Whether it was there. */
  delete(id: number): boolean {
    const mask = this.#ids.length - 1;
    let hole = this.#find(id);
    if (this.#values[hole] === undefined) return false;
    for (let place = (hole + 1) & mask; this.#values[place] !== undefined; place = (place + 1) & mask) {
      // It may move up unless the search for it begins behind the hole.
      const home = this.#home(this.#ids[place]!);
      if (((place - home) & mask) < ((place - hole) & mask)) continue;
      this.#ids[hole] = this.#ids[place]!;
      this.#values[hole] = this.#values[place];
      hole = place;
    }
    this.#values[hole] = undefined;
    this.#size--;
    if (this.#size === 0 && this.#ids.length > mostIdle) this.#resize(fewest);
    return true;
  }

  /** In no particular order. Nothing may be set or deleted meanwhile. */
  *values(): Generator<T, void, undefined> {
    for (const value of this.#values) if (value !== undefined) yield value;
  }

  #home(id: number): number {
    return Math.imul(id, 0x9e3779b1) >>> this.#shift;
  }

  /** Where it is, or where it would be put. */
  #find(id: number): number {
    const ids = this.#ids;
    const values = this.#values;
    const mask = ids.length - 1;
    let place = this.#home(id);
    while (values[place] !== undefined && ids[place] !== id) place = (place + 1) & mask;
    return place;
  }

  #resize(length: number): void {
    const ids = this.#ids;
    const values = this.#values;
    this.#ids = new Array<number>(length).fill(0);
    this.#values = new Array<T | undefined>(length).fill(undefined);
    this.#shift = 32 - Math.log2(length);
    this.#size = 0;
    for (let place = 0; place < ids.length; place++) {
      const value = values[place];
      if (value !== undefined) this.set(ids[place]!, value);
    }
  }
}
