import type { Connection, ConnectionState, Connector } from "../connection.js";
import { type Endpoint, formatEndpoint } from "../endpoint.js";

/** What a fake connection is used by. */
export interface FakeChannel {
  readonly endpoint: Endpoint;
  /** Until it is closed. */
  readonly open: boolean;
}

export interface FakeConnector extends Connector<FakeChannel> {
  /** The state of the connections to `host:port`, those there are and those to come. */
  set(address: string, state: ConnectionState): void;
  /** How often `connect` was called, in all or for one `host:port`. */
  connects(address?: string): number;
  /** How many connections are open. */
  readonly open: number;
}

/** Connections that are in the state that the test gives them. @param byDefault the state of those that were given none */
export function fakeConnector(byDefault: ConnectionState = "ready"): FakeConnector {
  const states = new Map<string, ConnectionState>();
  const connections = new Map<string, Set<FakeConnection>>();
  const counts = new Map<string, number>();
  return {
    connect(endpoint) {
      const address = formatEndpoint(endpoint);
      const all = connections.get(address) ?? new Set();
      connections.set(address, all);
      counts.set(address, (counts.get(address) ?? 0) + 1);
      const connection = new FakeConnection(endpoint, states.get(address) ?? byDefault, () =>
        all.delete(connection),
      );
      all.add(connection);
      return connection;
    },
    set(address, state) {
      states.set(address, state);
      for (const connection of connections.get(address) ?? []) connection.become(state);
    },
    connects(address) {
      if (address !== undefined) return counts.get(address) ?? 0;
      return [...counts.values()].reduce((sum, count) => sum + count, 0);
    },
    get open() {
      return [...connections.values()].reduce((sum, { size }) => sum + size, 0);
    },
  };
}

class FakeConnection implements Connection<FakeChannel> {
  readonly channel: FakeChannel;
  #state: ConnectionState;
  #open = true;
  readonly #listeners: Set<(state: ConnectionState) => void> = new Set();
  readonly #onClose: () => void;

  constructor(endpoint: Endpoint, state: ConnectionState, onClose: () => void) {
    const isOpen = (): boolean => this.#open;
    this.channel = {
      endpoint,
      get open() {
        return isOpen();
      },
    };
    this.#state = state;
    this.#onClose = onClose;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  become(state: ConnectionState): void {
    if (state === this.#state || !this.#open) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  listen(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#open = false;
    this.#onClose();
  }
}
