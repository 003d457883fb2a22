import type { Clock } from "../../src/clock.js";
import { type Endpoint, formatEndpoint } from "../../src/endpoint.js";
import type { Locator } from "../../src/locator.js";

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #nowMs = 1000;
  #order = 0;
  readonly #timers: Set<Timer> = new Set();

  get timers(): number {
    return this.#timers.size;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Goes on timer by timer, and lets each one's consequences happen before the next. */
  async advance(ms: number): Promise<void> {
    await settled();
    const endMs = this.#nowMs + ms;
    for (;;) {
      const next = [...this.#timers].sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.delete(next);
      next.callback();
      await settled();
    }
    this.#nowMs = endMs;
    await settled();
  }
}

/** Lets everything happen that waits for neither time nor the outside. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Resolves when it holds; for what real files and sockets do, which says nothing when it is done. The test's timeout is the limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** A reader that takes whatever it is told. `error` is what ended it. */
export class Reader implements AsyncDisposable {
  readonly told: string[] = [];
  readonly sets: (readonly Endpoint[])[] = [];
  error: unknown;
  ended = false;
  readonly #leaving: AbortController = new AbortController();
  readonly #done: Promise<void>;

  constructor(locator: Locator) {
    this.#done = this.#read(locator);
  }

  /** The newest set as `a:1 b:2`, sorted. */
  get last(): string | undefined {
    return this.told.at(-1);
  }

  async end(): Promise<void> {
    this.#leaving.abort(new Error("the test is over"));
    await this.#done;
  }

  /** Waits until it ends by itself. */
  async done(): Promise<void> {
    await this.#done;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  async #read(locator: Locator): Promise<void> {
    try {
      for await (const endpoints of locator.locate({ signal: this.#leaving.signal })) {
        this.sets.push(endpoints);
        this.told.push(show(endpoints));
      }
    } catch (error) {
      this.error = error;
    }
    this.ended = true;
  }
}

export function show(endpoints: readonly Endpoint[]): string {
  return endpoints.map(formatEndpoint).sort().join(" ");
}

export function at(host: string, port = 1, labels?: Readonly<Record<string, string>>): Endpoint {
  return labels === undefined ? { host, port } : { host, port, labels };
}

/** What `read` throws, or fails the test. */
export async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
