import { SimulatedDisk } from "./disk.js";
import { Network } from "./network.js";
import { type Program, SimNode } from "./node.js";
import type { SimProcess } from "./process.js";
import { durationMs } from "./process-disk.js";
import { SeededRandom } from "./random.js";
import { Scheduler, type SchedulerOptions } from "./scheduler.js";

export interface WorldOptions extends SchedulerOptions {
  readonly seed: number | string;
}

interface Failure {
  readonly process: string;
  readonly error: unknown;
}

/** Everything that a seed decides: time, chance, hosts with their disks, the processes on them and the network between. */
export class World {
  readonly scheduler: Scheduler;
  readonly random: SeededRandom;
  readonly network: Network;
  readonly nodes: Map<string, SimNode> = new Map();
  /** Of programs that ended with an error. */
  readonly failures: Failure[] = [];
  /** Multiplies what all disks take. */
  diskSlowness = 1;
  readonly #disks = new Map<string, SimulatedDisk>();

  constructor(options: WorldOptions) {
    this.scheduler = new Scheduler(options);
    this.random = new SeededRandom(`seed ${options.seed}`);
    this.network = new Network(this.scheduler, this.random.fork("network"));
  }

  /** A host's disk, which outlives its processes. */
  disk(host: string): SimulatedDisk {
    let disk = this.#disks.get(host);
    if (!disk) {
      const random = this.random.fork(`disk of ${host}`);
      const timing = this.random.fork(`timing of the disk of ${host}`);
      disk = new SimulatedDisk({
        random: () => random.number(),
        schedule: (run, operation) => {
          const takesMs = durationMs(operation, timing, this.diskSlowness);
          this.scheduler.after(takesMs, `${host} ${operation.kind} ${operation.path}`, run);
        },
      });
      this.#disks.set(host, disk);
    }
    return disk;
  }

  /** A node that is not started yet. */
  addNode(name: string, host: string, program: Program): SimNode {
    const chance = this.random.fork(`clock of ${name}`);
    const node = new SimNode(this, {
      name,
      host,
      program,
      // Quartz is good to some 100 parts in a million; a virtual machine may be worse.
      clockFault: { wallSkewMs: chance.between(-200, 200), rate: chance.between(0.995, 1.005) },
      diskFaults: { errorChance: 0 },
    });
    this.nodes.set(name, node);
    return node;
  }

  /** All processes of a host die at once, and what its disk had not made durable is gone, or not. */
  powerCut(host: string): void {
    this.scheduler.trace(`power cut of ${host}`);
    this.network.setPower(host, false);
    for (const node of this.nodes.values()) if (node.host === host) node.kill("power cut");
    this.disk(host).powerCut();
  }

  powerOn(host: string): void {
    this.scheduler.trace(`power is back at ${host}`);
    this.network.setPower(host, true);
    for (const node of this.nodes.values()) if (node.host === host) node.start();
  }

  onProgramFailure(process: SimProcess, error: unknown): void {
    this.failures.push({ process: process.id, error });
  }
}
