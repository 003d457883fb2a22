import {
  type Connection,
  type ConnectionState,
  type Connector,
  type Endpoint,
  Registry,
  type RegistryOptions,
  staticLocator,
} from "@x/viewreg";
import { ManualClock } from "./manual-clock.js";

interface Info {
  readonly serves: { readonly from: bigint; readonly to: bigint };
}

/** Servers without a network, in simulated time. */
export class SimulatedFleet {
  readonly clock: ManualClock = new ManualClock();
  readonly connections: SimulatedConnection[] = [];
  readonly #endpoints: readonly Endpoint[];
  readonly #random: () => number;
  /** Simulated milliseconds until a probe is answered. */
  answerAfterMs: () => number = () => 1;
  /** Those that do not answer, by the order of their connections. */
  readonly silent: Set<number> = new Set();

  constructor(count: number, random: () => number) {
    this.#random = random;
    this.#endpoints = Array.from({ length: count }, (_, index) => ({
      host: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
      port: 9000,
    }));
  }

  open(options: Partial<RegistryOptions<Info, number>> = {}): Registry<Info, number> {
    const count = this.#endpoints.length;
    const connector: Connector<number> = {
      connect: () => {
        const connection = new SimulatedConnection(this.connections.length);
        this.connections.push(connection);
        return connection;
      },
    };
    return Registry.open<Info, number>({
      locator: staticLocator(this.#endpoints),
      connector,
      probe: async (index, { signal }) => {
        await new Promise<void>((resolve) => this.clock.setTimer(this.answerAfterMs(), resolve));
        // Looked at now: who stops does not answer what he was asked before either.
        if (this.silent.has(index)) return await never(signal);
        const from = BigInt(Math.floor((index / count) * 2 ** 32)) << 32n;
        // Each is about five times as long as its share, so that a point is in about five.
        const length = BigInt(Math.ceil((5 / count) * 2 ** 32)) << 32n;
        return { serves: { from, to: from + length < 2n ** 64n ? from + length : 2n ** 64n - 1n } };
      },
      clock: this.clock,
      random: this.#random,
      ...options,
    });
  }

  /** Lets time pass until all are healthy. */
  async allHealthy(registry: Registry<Info, number>): Promise<void> {
    for (let seconds = 0; registry.healthyViews().length < this.#endpoints.length; seconds++) {
      if (seconds > 600) throw new Error(`only ${registry.healthyViews().length} servers are healthy`);
      await this.clock.advance(1_000);
    }
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

export class SimulatedConnection implements Connection<number> {
  readonly channel: number;
  state: ConnectionState = "ready";
  readonly #listeners = new Set<(state: ConnectionState) => void>();

  constructor(channel: number) {
    this.channel = channel;
  }

  listen(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  become(state: ConnectionState): void {
    this.state = state;
    for (const listener of this.#listeners) listener(state);
  }

  close(): void {}
}
