import type { Clock } from "../clock.js";

/** Something to do at a time. One object per purpose, set again and again. */
export class Task {
  readonly run: () => void;
  /** When it is due; meaningless when it is not on the agenda. */
  dueMs = 0;
  /** Its place in the heap, -1 when it is not on the agenda. */
  place = -1;

  constructor(run: () => void) {
    this.run = run;
  }
}

/** How late a timer may be before it is said that this process stood still, and how long what it does may take. */
const punctualMs = 50;
/** What the process's timers can do. A timer that goes off before its task is due is set again. */
const longestMs = 2_147_483_647;
/** So that a timer always moves time on, also where sums of fractions were rounded. */
const shortestMs = 0.001;

/**
 * All that a registry does by time, in a binary heap with one timer of the clock for the earliest: O(log n) for each change.
 *
 * Also keeps a time of its own that leaves out when this process stood still (a long computation, a stopped process, a sleeping
 * machine): in that time no answer could be read, so nobody must be called silent for it. What is on the agenda is in that time. It
 * never goes back, and goes no further than the earliest task and a little more before that was run: what is read after a stall and
 * before the timers is not of a later time than they.
 */
export class Agenda {
  readonly #clock: Clock;
  readonly #heap: Task[] = [];
  #stoodStillMs = 0;
  /** What it was when last asked: what is left out is a sum of fractions, whose rounding alone would take it back by some 1e-14. */
  #latestMs = Number.NEGATIVE_INFINITY;
  #cancelTimer: (() => void) | undefined;
  /** What the timer is set to, by the clock. */
  #timerMs = Number.POSITIVE_INFINITY;
  /** Beyond this, by the clock, this process stands still: the timer, or what runs, would have come to its end. */
  #limitMs = Number.POSITIVE_INFINITY;
  #running = false;
  /** Whether this process stood still and nothing was done since. */
  #waited = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    const ms = Math.min(this.#clock.monotonicMs(), this.#limitMs) - this.#stoodStillMs;
    if (ms > this.#latestMs) this.#latestMs = ms;
    return this.#latestMs;
  }

  /** Puts a task on the agenda, or moves it; `Infinity` takes it off. */
  set(task: Task, dueMs: number): void {
    if (dueMs === Number.POSITIVE_INFINITY) {
      this.delete(task);
      return;
    }
    task.dueMs = dueMs;
    if (task.place < 0) {
      task.place = this.#heap.length;
      this.#heap.push(task);
      this.#rise(task);
    } else {
      this.#rise(task);
      this.#sink(task);
    }
    this.#arm();
  }

  /** As `set`, but never moves a task to a later time. */
  setBy(task: Task, dueMs: number): void {
    if (task.place < 0 || dueMs < task.dueMs) this.set(task, dueMs);
  }

  delete(task: Task): void {
    const { place } = task;
    if (place < 0) return;
    task.place = -1;
    const last = this.#heap.pop()!;
    if (last === task) return;
    this.#heap[place] = last;
    last.place = place;
    this.#rise(last);
    this.#sink(last);
  }

  /** Takes everything off, and the timer. */
  clear(): void {
    for (const task of this.#heap) task.place = -1;
    this.#heap.length = 0;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#unset();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (this.#running || first === undefined) return;
    const dueMs = first.dueMs + this.#stoodStillMs;
    // A timer that goes off too early for what is left does no harm, and most tasks are moved to a later time only.
    if (this.#timerMs <= dueMs) return;
    const clockMs = this.#clock.monotonicMs();
    const timerMs = clockMs + Math.max(shortestMs, Math.min(longestMs, dueMs - clockMs));
    // One that is late already goes off as soon as can be, and how late it is must be told by it.
    if (this.#timerMs <= timerMs) return;
    this.#cancelTimer?.();
    this.#timerMs = timerMs;
    this.#limitMs = timerMs + punctualMs;
    this.#cancelTimer = this.#clock.setTimer(timerMs - clockMs, () => this.#goOff());
  }

  #goOff(): void {
    const stoodStill = this.#leaveOut();
    this.#cancelTimer = undefined;
    this.#unset();
    // What came meanwhile is read first, for what is due may be that it has not come. Once, or a slow process would never get on.
    this.#waited = stoodStill && !this.#waited;
    if (this.#waited) {
      this.#arm();
      return;
    }
    this.#running = true;
    this.#limitMs = this.#clock.monotonicMs() + punctualMs;
    try {
      // A task that is due again at once waits for the next timer, so that it cannot keep the process for itself.
      const now = this.nowMs();
      for (let first = this.#heap[0]; first !== undefined && first.dueMs <= now; first = this.#heap[0]) {
        this.delete(first);
        first.run();
        if (first.place >= 0 && first.dueMs <= now) break;
      }
    } finally {
      this.#running = false;
      this.#leaveOut();
      this.#unset();
      this.#arm();
    }
  }

  #unset(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    this.#limitMs = Number.POSITIVE_INFINITY;
  }

  /** Leaves out of the time what is beyond the limit. @returns whether this process stood still */
  #leaveOut(): boolean {
    const beyondMs = this.#clock.monotonicMs() - this.#limitMs;
    if (beyondMs <= 0) return false;
    this.#stoodStillMs += beyondMs;
    return true;
  }

  #rise(task: Task): void {
    let { place } = task;
    while (place > 0) {
      const parent = this.#heap[(place - 1) >>> 1]!;
      if (parent.dueMs <= task.dueMs) break;
      this.#heap[place] = parent;
      parent.place = place;
      place = (place - 1) >>> 1;
    }
    this.#heap[place] = task;
    task.place = place;
  }

  #sink(task: Task): void {
    let { place } = task;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= this.#heap.length) break;
      const right = this.#heap[below + 1];
      if (right !== undefined && right.dueMs < this.#heap[below]!.dueMs) below++;
      const child = this.#heap[below]!;
      if (child.dueMs >= task.dueMs) break;
      this.#heap[place] = child;
      child.place = place;
      place = below;
    }
    this.#heap[place] = task;
    task.place = place;
  }
}
