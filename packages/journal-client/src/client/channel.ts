import { type ChannelCredentials, type ChannelOptions, Client, connectivityState } from "@grpc/grpc-js";
import type { Endpoint } from "./endpoint.js";

/** One connection to a broker, which is made when it is first needed and again after it was lost. */
export class Channel {
  readonly endpoint: Endpoint;
  readonly client: Client;
  /** Calls that run, and those that wait for this connection. */
  uses = 0;
  lastUseMs = 0;
  /** Another connection, asked for later, was ready earlier: as bad as failed, until it is ready. */
  #slow = false;
  readonly #listeners = new Set<() => void>();
  #watching = false;

  constructor(endpoint: Endpoint, credentials: ChannelCredentials, options: ChannelOptions) {
    this.endpoint = endpoint;
    this.client = new Client(endpoint.target, credentials, options);
  }

  #state(): connectivityState {
    return this.client.getChannel().getConnectivityState(false);
  }

  get ready(): boolean {
    if (this.#state() !== connectivityState.READY) return false;
    this.#slow = false;
    return true;
  }

  /** The last attempt to connect failed. grpc-js stays in this state until one succeeds. */
  get failed(): boolean {
    const state = this.#state();
    return state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN;
  }

  /** Neither failed nor slow. */
  get promising(): boolean {
    return this.ready || !(this.#slow || this.failed);
  }

  markSlow(): void {
    this.#slow = !this.ready;
  }

  connect(): void {
    this.client.getChannel().getConnectivityState(true);
  }

  /** Calls back at each change of the connection's state. The returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#watch();
    return () => void this.#listeners.delete(listener);
  }

  /** One watch at a time, since grpc-js cannot take one back. */
  #watch(): void {
    const state = this.#state();
    if (this.#watching || this.#listeners.size === 0 || state === connectivityState.SHUTDOWN) return;
    this.#watching = true;
    this.client.getChannel().watchConnectivityState(state, Number.POSITIVE_INFINITY, () => {
      this.#watching = false;
      for (const listener of [...this.#listeners]) listener();
      this.#watch();
    });
  }

  close(): void {
    this.client.close();
  }
}
