/** A store that has just failed is asked after one that takes this long. */
const failureMs = 1000;
const forgetting = 0.99;
const weight = 0.2;
const samples = 64;
/** Less than this is all the same. */
const floorMs = 0.05;

/** "has" needs no content, and is slow sooner than a read of one. */
export type Question = "content" | "has";

/** How long each of some stores takes to answer: the order to ask them in, and what is slow. */
export class Latencies {
  readonly #estimates: number[];
  readonly #recent: Readonly<Record<Question, Recent>> = { content: new Recent(), has: new Recent() };

  constructor(stores: number) {
    this.#estimates = new Array<number>(stores).fill(0);
  }

  took(store: number, ms: number, question: Question = "content"): void {
    const before = this.#estimates[store] ?? 0;
    this.#estimates[store] = before + weight * (ms - before);
    this.#recent[question].add(ms);
    // What is not asked is forgotten little by little, and asked again.
    this.#estimates.forEach((estimate, other) => {
      if (other !== store) this.#estimates[other] = estimate * forgetting;
    });
  }

  /** It was given up after so long, for another that was faster. */
  gaveUp(store: number, ms: number): void {
    this.#estimates[store] = Math.max(this.#estimates[store] ?? 0, ms);
  }

  failed(store: number): void {
    this.#estimates[store] = Math.max(this.#estimates[store] ?? 0, failureMs);
  }

  /** The fastest first; equals in the order that they were given in. */
  order(): number[] {
    const order = [...this.#estimates.keys()];
    const cost = (store: number) => Math.max(floorMs, this.#estimates[store]!);
    return order.sort((a, b) => cost(a) - cost(b) || a - b);
  }

  /** Of the last 64 answers; 0 before the first. */
  p95(question: Question = "content"): number {
    return this.#recent[question].p95();
  }
}

class Recent {
  readonly #times: number[] = [];
  #at = 0;
  #stale = true;
  #p95 = 0;

  add(ms: number): void {
    this.#times[this.#at] = ms;
    this.#at = (this.#at + 1) % samples;
    this.#stale ||= this.#at % 8 === 0;
  }

  p95(): number {
    if (this.#stale) {
      const sorted = [...this.#times].sort((a, b) => a - b);
      this.#p95 = sorted[Math.floor(sorted.length * 0.95)] ?? 0;
      this.#stale = this.#times.length < samples;
    }
    return this.#p95;
  }
}
