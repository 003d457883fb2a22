import type { LogFileSystem } from "@x/topic-buffer/local";
import { type ClockFault, type DeathCause, SimProcess } from "./process.js";
import { type DiskFaults, diskOf } from "./process-disk.js";
import type { World } from "./world.js";

/** What a program gets from the machine that it is started on. */
export interface Environment {
  readonly process: SimProcess;
  readonly fileSystem: LogFileSystem;
  /** Aborts when the program is asked to end, as by SIGTERM. */
  readonly terminated: AbortSignal;
}

/** Runs until it is done; if it fails, its process ends, as one does that has an unhandled error. */
export type Program = (environment: Environment) => Promise<void>;

/** A program that has not ended so long after it was asked to is killed. */
const TERMINATION_MS = 10_000;

/** One program on one host, started again by a supervisor whenever it has ended, in a new process. */
export class SimNode {
  readonly name: string;
  readonly host: string;
  readonly diskFaults: DiskFaults;
  readonly clockFault: ClockFault;
  readonly #world: World;
  readonly #program: Program;
  #process: SimProcess | undefined;
  #incarnation = 0;
  #terminate: AbortController = new AbortController();

  constructor(
    world: World,
    options: {
      readonly name: string;
      readonly host: string;
      readonly program: Program;
      readonly clockFault: ClockFault;
      readonly diskFaults: DiskFaults;
    },
  ) {
    this.#world = world;
    this.name = options.name;
    this.host = options.host;
    this.#program = options.program;
    this.clockFault = options.clockFault;
    this.diskFaults = options.diskFaults;
  }

  /** The one that lives, or undefined. */
  get process(): SimProcess | undefined {
    return this.#process?.isDead ? undefined : this.#process;
  }

  start(): void {
    if (this.process) return;
    const { scheduler, random, network } = this.#world;
    this.#incarnation += 1;
    const process = new SimProcess({
      name: this.name,
      incarnation: this.#incarnation,
      host: this.host,
      scheduler,
      random: random.fork(`${this.name}#${this.#incarnation}`),
      clockFault: this.clockFault,
    });
    this.#process = process;
    const terminate = new AbortController();
    this.#terminate = terminate;
    const ofDisk = random.fork(`disk of ${process.id}`);
    const fileSystem = diskOf(process, this.#world.disk(this.host), {
      random: ofDisk,
      faults: this.diskFaults,
      shortWays: ofDisk.chance(0.5),
    });
    scheduler.trace(`${process.id} starts`);
    const ended = (why: string): void => {
      if (process.isDead) return;
      scheduler.trace(`${process.id} has ended: ${why}`);
      process.kill("killed");
      scheduler.after(random.between(50, 1500), `${this.name} is started again`, () => {
        if (!network.isDark(this.host)) this.start();
      });
    };
    this.#program({ process, fileSystem, terminated: terminate.signal }).then(
      () => ended("done"),
      (error: unknown) => {
        if (process.isDead) return;
        this.#world.onProgramFailure(process, error);
        ended(String(error));
      },
    );
  }

  kill(cause: DeathCause = "killed"): void {
    this.process?.kill(cause);
  }

  stop(): void {
    this.process?.stop();
  }

  continue(): void {
    this.process?.continue();
  }

  /** Asks the program to end. */
  terminate(): void {
    const process = this.process;
    if (!process) return;
    const terminate = this.#terminate;
    process.run("SIGTERM", () => terminate.abort(new Error("SIGTERM")));
    this.#world.scheduler.after(TERMINATION_MS, `${process.id} should have ended`, () => {
      if (process.isDead) return;
      this.#world.scheduler.trace(`${process.id} has not ended in time`);
      process.kill("killed");
      this.start();
    });
  }
}
