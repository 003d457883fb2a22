import { type Agenda, Task } from "./agenda.js";

/** Starts may be so much ahead of an even pace, which a timer's own coarseness makes up for. */
const burstMs = 20;

/**
 * Lets so many probes start in a second, evenly, in the order in which they came: the generic cell rate algorithm (ITU-T I.371), O(1)
 * for each.
 */
export class Pacer<T> {
  readonly #agenda: Agenda;
  readonly #gapMs: number;
  /** How much earlier than evenly one may start. */
  readonly #aheadMs: number;
  readonly #start: (item: T) => boolean;
  readonly #task: Task;
  #queue: T[] = [];
  #head = 0;
  /** When the next one may start at an even pace. */
  #evenMs = Number.NEGATIVE_INFINITY;

  /** @param options `start` returns false for one that need not start any more: it does not count. */
  constructor(agenda: Agenda, options: { readonly perSecond: number; readonly start: (item: T) => boolean }) {
    this.#agenda = agenda;
    this.#gapMs = 1000 / options.perSecond;
    this.#aheadMs = Math.max(0, burstMs - this.#gapMs);
    this.#start = options.start;
    this.#task = new Task(() => this.#drain());
  }

  /** Starts it at once or puts it last in the queue. */
  push(item: T): void {
    this.#queue.push(item);
    if (this.#task.place < 0) this.#drain();
  }

  clear(): void {
    this.#queue = [];
    this.#head = 0;
    this.#agenda.delete(this.#task);
  }

  #drain(): void {
    const now = this.#agenda.nowMs();
    while (this.#head < this.#queue.length) {
      const mayMs = this.#evenMs - this.#aheadMs;
      if (now < mayMs) {
        this.#agenda.set(this.#task, mayMs);
        break;
      }
      if (this.#start(this.#queue[this.#head++]!)) this.#evenMs = Math.max(this.#evenMs, now) + this.#gapMs;
    }
    // Moved together when half of it is behind us, so that each item is moved once on average.
    if (2 * this.#head > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}
