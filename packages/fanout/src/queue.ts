/** A power of two. */
const fewest = 16;
/** What stays when it is empty. */
const mostIdle = 1024;

/** First in, first out, in a ring: `Array.prototype.shift` moves everything that is left, which long queues feel. */
export class Queue<T extends object> {
  #items: (T | undefined)[] = emptyRing(fewest);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item;
    this.#length++;
  }

  /** Undefined when there is nothing left. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#items[this.#head];
    // What was taken is not held.
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#length--;
    if (this.#length === 0 && this.#items.length > mostIdle) this.clear();
    return item;
  }

  clear(): void {
    this.#items = emptyRing(fewest);
    this.#head = 0;
    this.#length = 0;
  }

  #grow(): void {
    const items = this.#items;
    this.#items = [...items.slice(this.#head), ...items.slice(0, this.#head), ...emptyRing<T>(items.length)];
    this.#head = 0;
  }
}

function emptyRing<T>(length: number): (T | undefined)[] {
  return new Array<T | undefined>(length).fill(undefined);
}
