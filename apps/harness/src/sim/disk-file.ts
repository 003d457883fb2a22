/** From 0 inclusive to 1 exclusive. */
export type Chance = () => number;

/** What one write or truncation changed: kept until a sync makes it durable. */
interface Change {
  readonly stamp: number;
  readonly position: number;
  readonly bytes: Uint8Array;
  /** The size of the file afterwards. */
  readonly size: number;
}

/**
 * The content of a simulated file: what every reader of the running machine sees (the page cache), and what is on the disk.
 *
 * Between the two are changes in order. A power cut keeps, for each sector on its own, any number of them from the first on;
 * likewise for the size. So of an unsynced write some sectors may be there and others not, in any pattern, but a sector never
 * holds a later change without an earlier one.
 */
export class SimulatedFile {
  readonly #sectorBytes: number;
  #cached = Buffer.alloc(0);
  #cachedSize = 0;
  #durable = Buffer.alloc(0);
  #durableSize = 0;
  #changes: Change[] = [];

  constructor(sectorBytes: number) {
    this.#sectorBytes = sectorBytes;
  }

  get size(): number {
    return this.#cachedSize;
  }

  /** What readers see. A view. */
  get content(): Buffer {
    return this.#cached.subarray(0, this.#cachedSize);
  }

  /** What is on the disk for certain. A view. */
  get durableContent(): Buffer {
    return this.#durable.subarray(0, this.#durableSize);
  }

  write(stamp: number, position: number, bytes: Uint8Array): void {
    const size = Math.max(this.#cachedSize, position + bytes.length);
    this.#cached = grown(this.#cached, size);
    this.#cached.set(bytes, position);
    this.#cachedSize = size;
    this.#changes.push({ stamp, position, bytes: Uint8Array.from(bytes), size });
  }

  truncate(stamp: number, size: number): void {
    this.#cached = grown(this.#cached, size);
    // What was cut off must read as zeros when the file grows again.
    const cut = Math.min(size, this.#cachedSize);
    const zeros = new Uint8Array(this.#cachedSize - cut);
    this.#cached.set(zeros, cut);
    this.#cachedSize = size;
    this.#changes.push({ stamp, position: cut, bytes: zeros, size });
  }

  /** Makes durable what was changed up to a stamp. */
  sync(stamp: number): void {
    const changes = this.#take(stamp);
    for (const change of changes) this.#store(change.position, change.bytes);
    this.#durableSize = changes.at(-1)?.size ?? this.#durableSize;
  }

  /**
   * A sync that fails, as Linux does it: of what was changed some sectors get to the disk and others don't, readers still see
   * all of it, and no later sync will try again.
   */
  failSync(stamp: number, chance: Chance): void {
    const changes = this.#take(stamp);
    this.#settle(changes, chance);
  }

  /** The machine loses power: afterwards readers see what is on the disk. */
  cutPower(chance: Chance): void {
    this.#settle(this.#take(Number.POSITIVE_INFINITY), chance);
    this.#durable = grown(this.#durable, this.#durableSize);
    this.#durable.fill(0, this.#durableSize);
    this.#cached = Buffer.from(this.#durable);
    this.#cachedSize = this.#durableSize;
  }

  /** Flips bits, in the cache and on the disk. */
  damage(position: number, mask: number): void {
    for (const bytes of [this.#cached, this.#durable]) {
      if (position < bytes.length) bytes[position] = (bytes[position] as number) ^ mask;
    }
    for (const change of this.#changes) {
      const at = position - change.position;
      if (at >= 0 && at < change.bytes.length) change.bytes[at] = (change.bytes[at] as number) ^ mask;
    }
  }

  #take(stamp: number): Change[] {
    const taken = this.#changes.filter((change) => change.stamp <= stamp);
    this.#changes = this.#changes.filter((change) => change.stamp > stamp);
    return taken;
  }

  #store(position: number, bytes: Uint8Array): void {
    this.#durable = grown(this.#durable, position + bytes.length);
    this.#durable.set(bytes, position);
  }

  #settle(changes: readonly Change[], chance: Chance): void {
    if (changes.length === 0) return;
    // How many changes of each sector get to the disk: a mood for all makes "everything" and "nothing" likely, too.
    const mood = chance();
    const kept = new Map<number, number>();
    const seen = new Map<number, number>();
    const total = new Map<number, number>();
    for (const change of changes) {
      for (const sector of this.#sectors(change)) total.set(sector, (total.get(sector) ?? 0) + 1);
    }
    for (const [sector, count] of total) {
      const keep = mood < 0.2 ? 0 : mood > 0.8 ? count : Math.floor(chance() * (count + 1));
      kept.set(sector, keep);
    }
    for (const change of changes) {
      for (const sector of this.#sectors(change)) {
        const nth = seen.get(sector) ?? 0;
        seen.set(sector, nth + 1);
        if (nth >= (kept.get(sector) as number)) continue;
        const from = Math.max(change.position, sector * this.#sectorBytes);
        const to = Math.min(change.position + change.bytes.length, (sector + 1) * this.#sectorBytes);
        this.#store(from, change.bytes.subarray(from - change.position, to - change.position));
      }
    }
    const sizes = mood < 0.2 ? 0 : mood > 0.8 ? changes.length : Math.floor(chance() * (changes.length + 1));
    if (sizes > 0) this.#durableSize = (changes[sizes - 1] as Change).size;
  }

  *#sectors(change: Change): Generator<number> {
    const last = Math.ceil((change.position + change.bytes.length) / this.#sectorBytes);
    for (let sector = Math.floor(change.position / this.#sectorBytes); sector < last; sector++) yield sector;
  }
}

function grown(bytes: Buffer<ArrayBuffer>, size: number): Buffer<ArrayBuffer> {
  if (size <= bytes.length) return bytes;
  const larger = Buffer.alloc(Math.max(size, Math.min(2 * bytes.length, bytes.length + 1024 * 1024)));
  larger.set(bytes);
  return larger;
}
