import type { SimNode } from "./node.js";
import type { FaultKind, Plan } from "./plan.js";
import type { SeededRandom } from "./random.js";
import type { World } from "./world.js";

/** Does harm to a world, as its plan says, until the plan says that it is enough. Then everything is made good. */
export class Faults {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #random: SeededRandom;
  #isOver = false;

  constructor(world: World, plan: Plan) {
    this.#world = world;
    this.#plan = plan;
    this.#random = world.random.fork("faults");
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  start(): void {
    const { scheduler } = this.#world;
    scheduler.after(this.#plan.faultsFromMs, "faults begin", () => this.#next());
    scheduler.after(this.#plan.faultsUntilMs, "faults end", () => this.#end());
  }

  #next(): void {
    if (this.#isOver) return;
    this.#strike(this.#random.pick(this.#plan.faults));
    const delayMs = this.#random.between(0, 2 * this.#plan.faultEveryMs);
    this.#world.scheduler.after(delayMs, "next fault", () => this.#next());
  }

  #strike(kind: FaultKind): void {
    const random = this.#random;
    const { network, scheduler } = this.#world;
    switch (kind) {
      case "kill": {
        const node = this.#anyNode();
        node.kill();
        this.#later(random.between(50, 5000), `start ${node.name}`, () => {
          if (!network.isDark(node.host)) node.start();
        });
        break;
      }
      case "stop": {
        const node = this.#anyNode();
        node.stop();
        const { process } = node;
        // From a hiccup to much longer than any lease.
        const forMs = random.chance(0.5) ? random.between(50, 1000) : random.between(1000, 9000);
        this.#later(forMs, `continue ${node.name}`, () => process?.continue());
        break;
      }
      case "partition": {
        const [a, b] = this.#anyPair();
        network.partition(a, b, random.chance(0.7) ? "stall" : "blackhole");
        this.#later(random.between(300, 10_000), "heal", () => network.heal(a, b));
        break;
      }
      case "isolation":
        this.#isolate();
        break;
      case "reset":
        network.reset(...this.#anyPair());
        break;
      case "power cut": {
        // It takes long to recover from, so it is rarer than the others.
        if (random.chance(0.5)) return;
        const { host } = this.#anyNode();
        if (network.isDark(host)) return;
        this.#world.powerCut(host);
        this.#later(random.between(100, 3000), "power is back", () => this.#world.powerOn(host));
        break;
      }
      case "wall clock": {
        const node = this.#anyNode();
        node.clockFault.wallSkewMs += random.chance(0.7)
          ? random.between(-3000, 3000)
          : random.between(-30_000, 30_000);
        // A start more than a minute ahead of the clock is refused on purpose: no host may get so far away from another.
        node.clockFault.wallSkewMs = Math.max(-20_000, Math.min(20_000, node.clockFault.wallSkewMs));
        scheduler.trace(
          `the wall clock of ${node.name} is off by ${node.clockFault.wallSkewMs.toFixed(3)} ms`,
        );
        break;
      }
      case "slow disk":
        this.#world.diskSlowness = random.between(5, 50);
        this.#later(random.between(200, 4000), "disk is well", () => {
          this.#world.diskSlowness = 1;
        });
        break;
      case "disk errors": {
        const node = this.#anyNode();
        node.diskFaults.errorChance = random.pick([0.01, 0.1, 0.5]);
        scheduler.trace(`errors of the disk for ${node.name}: ${node.diskFaults.errorChance}`);
        this.#later(random.between(100, 4000), "disk is well", () => {
          node.diskFaults.errorChance = 0;
        });
        break;
      }
      case "slow network":
        network.slowness = random.between(5, 60);
        this.#later(random.between(200, 4000), "network is well", () => {
          network.slowness = 1;
        });
        break;
      case "terminate":
        this.#anyNode().terminate();
        break;
    }
  }

  /**
   * The store forgets all leases, and some buffer and some of its clients do not hear of it: until its own deadline the buffer
   * believes in what it holds, and is written to, while another one takes it over.
   */
  #isolate(): void {
    const { network, nodes } = this.#world;
    const random = this.#random;
    const pick = (prefix: string): string =>
      random.pick([...nodes.keys()].filter((name) => name.startsWith(prefix)));
    const apart = [pick("buffer"), pick("producer"), pick("producer")];
    for (const name of apart) network.partition(name, "coord", "blackhole");
    const coord = nodes.get("coord") as SimNode;
    coord.kill();
    this.#later(random.between(50, 500), "start coord", () => {
      if (!network.isDark(coord.host)) coord.start();
    });
    this.#later(random.between(2000, 8000), "heal", () => {
      for (const name of apart) network.heal(name, "coord");
    });
  }

  #later(delayMs: number, label: string, run: () => void): void {
    this.#world.scheduler.after(delayMs, label, run);
  }

  #end(): void {
    this.#isOver = true;
    const { network, nodes } = this.#world;
    network.healAll();
    this.#world.diskSlowness = 1;
    for (const node of nodes.values()) {
      node.diskFaults.errorChance = 0;
      node.continue();
      if (network.isDark(node.host)) this.#world.powerOn(node.host);
      node.start();
    }
  }

  /** Those that hold something more often than those that only use it. */
  #anyNode(): SimNode {
    const nodes = [...this.#world.nodes.values()].filter(({ name }) => name !== "setup");
    const holders = nodes.filter(({ name }) => name === "coord" || name.startsWith("buffer"));
    return this.#random.pick(this.#random.chance(0.6) ? holders : nodes);
  }

  #anyPair(): [string, string] {
    const a = this.#anyNode().name;
    // A buffer that its clients reach but not the store, or the other way round, is what leases and fences are for.
    if (a !== "coord" && this.#random.chance(0.4)) return [a, "coord"];
    const b = this.#random.pick([...this.#world.nodes.keys()].filter((name) => name !== a));
    return [a, b];
  }
}
