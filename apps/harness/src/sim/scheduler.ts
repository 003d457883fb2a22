import { createHash } from "node:crypto";

export interface SchedulerOptions {
  /** Told each line of the trace as it comes to pass. */
  readonly onTrace?: (line: string) => void;
  /** More events than this are a livelock. Default: 5,000,000. */
  readonly maxEvents?: number;
}

/** More events than this at one instant are a livelock too: time would never go on. */
const MAX_EVENTS_AT_ONCE = 100_000;
const REMEMBERED_LINES = 20;

interface Entry {
  readonly timeMs: number;
  readonly sequence: number;
  readonly label: string;
  run: (() => void) | undefined;
}

/** The simulation itself went wrong: nothing can happen any more, or too much does. */
export class SimulationError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SimulationError";
  }
}

/**
 * Virtual time. Events run one at a time, in the order of their time and then of their planning. Between two events everything
 * that the first one made runnable (promises, at any depth) runs to its end: one hop through the event loop drains it all.
 *
 * The same program makes the same trace, byte for byte: `traceHash` is SHA-256 over it.
 */
export class Scheduler {
  readonly #heap: Entry[] = [];
  readonly #onTrace: ((line: string) => void) | undefined;
  readonly #maxEvents: number;
  readonly #hash = createHash("sha256");
  readonly #lastLines: string[] = [];
  #digest: string | undefined;
  #nowMs = 0;
  #sequence = 0;
  #events = 0;

  constructor(options: SchedulerOptions = {}) {
    this.#onTrace = options.onTrace;
    this.#maxEvents = options.maxEvents ?? 5_000_000;
  }

  /** Milliseconds since the start of the simulation. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get events(): number {
    return this.#events;
  }

  /** Of the trace so far; nothing can be traced behind it. */
  get traceHash(): string {
    this.#digest ??= this.#hash.digest("hex");
    return this.#digest;
  }

  /** Plans an event; the returned function takes it back. A time that is over means now, behind what is planned for now already. */
  after(delayMs: number, label: string, run: () => void): () => void {
    // Whole microseconds: shorter lines, and no dependence on the order in which fractions were added up.
    const timeMs = Math.round((this.#nowMs + Math.max(0, delayMs)) * 1000) / 1000;
    if (!Number.isFinite(timeMs)) throw new RangeError(`the delay of "${label}" is ${delayMs}`);
    this.#sequence += 1;
    const entry: Entry = { timeMs, sequence: this.#sequence, label, run };
    this.#push(entry);
    return () => {
      entry.run = undefined;
    };
  }

  /** Part of what must be the same in each replay. */
  trace(line: string): void {
    const full = `${this.#nowMs.toFixed(3)} ${line}`;
    this.#hash.update(full).update("\n");
    this.#lastLines.push(full);
    if (this.#lastLines.length > REMEMBERED_LINES) this.#lastLines.shift();
    this.#onTrace?.(full);
  }

  /**
   * Runs events until `until()` holds, looking after each of them, and gives true; or false at `deadlineMs`.
   * @throws SimulationError when nothing is planned any more, or when time stops going on
   */
  async run(options: { readonly until: () => boolean; readonly deadlineMs?: number }): Promise<boolean> {
    const { until, deadlineMs = Number.POSITIVE_INFINITY } = options;
    let atOnce = 0;
    await drained();
    while (!until()) {
      const entry = this.#pop();
      if (!entry) throw new SimulationError(`deadlock: nothing is planned any more\n${this.#tail()}`);
      if (entry.timeMs > deadlineMs) {
        this.#push(entry);
        this.#nowMs = deadlineMs;
        return false;
      }
      const { run } = entry;
      if (!run) continue;
      atOnce = entry.timeMs === this.#nowMs ? atOnce + 1 : 0;
      this.#nowMs = entry.timeMs;
      this.#events += 1;
      if (this.#events > this.#maxEvents || atOnce > MAX_EVENTS_AT_ONCE) {
        throw new SimulationError(
          `livelock: ${this.#events} events, ${atOnce} of them at one time\n${this.#tail()}`,
        );
      }
      this.trace(entry.label);
      run();
      await drained();
    }
    return true;
  }

  /** The last lines of the trace, for messages. */
  #tail(): string {
    return this.#lastLines.join("\n");
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent] as Entry;
      if (!isBefore(entry, other)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child += 1;
      const other = heap[child] as Entry;
      if (!isBefore(other, last)) break;
      heap[at] = other;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence);
}

/** Promises run before the event loop goes on, however many of them follow from each other. */
function drained(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
