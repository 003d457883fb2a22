import type { Clock } from "@x/topic-gateway/protocol";
import type { SeededRandom } from "./random.js";
import type { Scheduler } from "./scheduler.js";

/** How a host's clocks run, compared with the time of the simulation. */
export interface ClockFault {
  /** Added to the wall clock; may change at any time. */
  wallSkewMs: number;
  /** Milliseconds of the process in one millisecond of the simulation, for both clocks and for timers. */
  readonly rate: number;
}

export interface SimProcessOptions {
  readonly name: string;
  readonly incarnation: number;
  readonly host: string;
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly clockFault: ClockFault;
}

/** A Saturday in 2026, so that wall clocks look like ones. */
const WALL_START_MS = Date.UTC(2026, 10, 21);
/** The event loop of a process is never on time. */
const MAX_TIMER_LATENESS_MS = 2;

interface Waiting {
  readonly isTimer: boolean;
  readonly label: string;
  readonly run: () => void;
}

/**
 * One life of a program. Everything that makes its code run goes through `run`: timers, completions of I/O, messages. That is what
 * lets it be killed (nothing of it ever runs again) and stopped as by SIGSTOP (everything waits, time goes on).
 */
export class SimProcess {
  readonly name: string;
  readonly incarnation: number;
  readonly host: string;
  readonly random: SeededRandom;
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #chance: SeededRandom;
  readonly #clockFault: ClockFault;
  readonly #onDeath = new Set<(cause: DeathCause) => void>();
  #waiting: Waiting[] = [];
  #state: "running" | "stopped" | "dead" = "running";

  constructor(options: SimProcessOptions) {
    this.name = options.name;
    this.incarnation = options.incarnation;
    this.host = options.host;
    this.#scheduler = options.scheduler;
    this.#clockFault = options.clockFault;
    this.random = options.random.fork("program");
    this.#chance = options.random.fork("machine");
    const bootMs = this.#chance.between(1000, 1_000_000);
    this.clock = {
      wallMs: () => WALL_START_MS + this.#scaledMs() + this.#clockFault.wallSkewMs,
      monotonicMs: () => bootMs + this.#scaledMs(),
      setTimer: (delayMs, callback) => this.#setTimer(delayMs, callback),
    };
  }

  get id(): string {
    return `${this.name}#${this.incarnation}`;
  }

  get isDead(): boolean {
    return this.#state === "dead";
  }

  get isStopped(): boolean {
    return this.#state === "stopped";
  }

  /** Runs now, or when the process goes on, or never if it is dead. In order. */
  run(label: string, run: () => void): void {
    this.#enter({ isTimer: false, label, run });
  }

  /** `run` after a delay of the world outside. The returned function takes it back. */
  later(delayMs: number, label: string, run: () => void): () => void {
    let isCancelled = false;
    const cancel = this.#scheduler.after(delayMs, `${this.id} ${label}`, () => {
      this.run(label, () => {
        if (!isCancelled) run();
      });
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }

  stop(): void {
    if (this.#state !== "running") return;
    this.#scheduler.trace(`${this.id} is stopped`);
    this.#state = "stopped";
  }

  /** Everything that waited runs, one after the other. Either the timers or the rest come first: both can happen. */
  continue(): void {
    if (this.#state !== "stopped") return;
    const timersFirst = this.#chance.chance(0.5);
    this.#scheduler.trace(`${this.id} goes on, ${timersFirst ? "timers" : "events"} first`);
    const timers = this.#waiting.filter(({ isTimer }) => isTimer);
    const others = this.#waiting.filter(({ isTimer }) => !isTimer);
    this.#waiting = timersFirst ? [...timers, ...others] : [...others, ...timers];
    this.#state = "running";
    if (this.#waiting.length > 0) this.#scheduler.after(0, `${this.id} catches up`, () => this.#catchUp());
  }

  kill(cause: DeathCause): void {
    if (this.#state === "dead") return;
    this.#scheduler.trace(`${this.id} dies: ${cause}`);
    this.#state = "dead";
    this.#waiting = [];
    for (const listener of [...this.#onDeath]) listener(cause);
    this.#onDeath.clear();
  }

  /** Called in the world outside, when the process dies. The returned function stops that. */
  onDeath(listener: (cause: DeathCause) => void): () => void {
    this.#onDeath.add(listener);
    return () => this.#onDeath.delete(listener);
  }

  #enter(entry: Waiting): void {
    if (this.#state === "dead") return;
    // While it catches up, newer events stay behind the older ones.
    if (this.#state === "stopped" || this.#waiting.length > 0) this.#waiting.push(entry);
    else entry.run();
  }

  #catchUp(): void {
    if (this.#state !== "running") return;
    const entry = this.#waiting.shift();
    entry?.run();
    const next = this.#waiting[0];
    if (next && this.#state === "running") {
      this.#scheduler.after(0, `${this.id} catches up: ${next.label}`, () => this.#catchUp());
    }
  }

  #scaledMs(): number {
    return this.#scheduler.nowMs * this.#clockFault.rate;
  }

  #setTimer(delayMs: number, callback: () => void): () => void {
    let isCancelled = false;
    const late = this.#chance.between(0.05, MAX_TIMER_LATENESS_MS);
    const cancel = this.#scheduler.after(
      Math.max(0, delayMs) / this.#clockFault.rate + late,
      `${this.id} timer`,
      () => {
        const run = (): void => {
          if (!isCancelled) callback();
        };
        this.#enter({ isTimer: true, label: "timer", run });
      },
    );
    return () => {
      isCancelled = true;
      cancel();
    };
  }
}

/** A killed process leaves a host that tells its peers; a host without power tells nobody. */
export type DeathCause = "killed" | "power cut";
