import {
  Channel,
  type ChannelCredentials,
  type ChannelInterface,
  type ChannelOptions,
  connectivityState,
} from "@grpc/grpc-js";
import type { Clock } from "../clock.js";
import type { Connection, ConnectionState, Connector } from "../connection.js";
import { type Endpoint, formatEndpoint, isHost } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import { systemClock } from "../system.js";
import { describe } from "../text.js";
import { channelCredentials, channelOptions, type GrpcChannelSettings } from "./channel-options.js";

/** What stubs take as `channelOverride`. */
export type GrpcChannel = ChannelInterface;

export interface GrpcConnectorOptions extends GrpcChannelSettings {
  /** A first connection that takes longer is `failed` from then on, though it may still come about. Default 5,000. */
  readonly connectTimeoutMs?: number;
  readonly clock?: Clock;
}

/**
 * How long a lost connection may be on its way back before it counts as failed. A server that ends connections of some age by
 * GOAWAY is connected to again in a few milliseconds, and calls wait for that: no reason to take it out. One that was killed
 * refuses at once, and is failed at once.
 */
const graceMs = 50;

/**
 * One channel per server, shared by all stubs, connected from the start and again whenever it breaks.
 *
 * A name is resolved again by grpc-js, and when it has several addresses the first that works is used: a name is one server here.
 * For one view per address, use the DNS locator.
 * @throws RegistryError "invalid-argument"
 */
export function grpcConnector(options: GrpcConnectorOptions): Connector<GrpcChannel> {
  const credentials = channelCredentials(options);
  const settings = channelOptions(options.channelOptions);
  const { clock = systemClock, connectTimeoutMs = 5_000 } = options;
  if (!(connectTimeoutMs > 0))
    throw new RegistryError(
      "invalid-argument",
      `connectTimeoutMs is ${connectTimeoutMs}; it must be above 0`,
    );
  return {
    connect: (endpoint) =>
      new GrpcConnection(openChannel(endpoint, credentials, settings), clock, connectTimeoutMs),
  };
}

/** @throws RegistryError "invalid-endpoint" */
function openChannel(
  endpoint: Endpoint,
  credentials: ChannelCredentials,
  settings: ChannelOptions,
): GrpcChannel {
  if (!isHost(endpoint.host))
    throw new RegistryError(
      "invalid-endpoint",
      `${describe(endpoint.host)} is no host: a name, an IPv4 address or an IPv6 address without brackets (no path of a socket)`,
    );
  // Without the scheme, a host such as `unix` would be one.
  return new Channel(`dns:${formatEndpoint(endpoint)}`, credentials, settings);
}

class GrpcConnection implements Connection<GrpcChannel> {
  readonly channel: GrpcChannel;
  readonly #clock: Clock;
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  #state: ConnectionState = "connecting";
  #closed = false;
  #stopTimer: (() => void) | undefined;

  constructor(channel: GrpcChannel, clock: Clock, connectTimeoutMs: number) {
    this.channel = channel;
    this.#clock = clock;
    this.#stopTimer = clock.setTimer(connectTimeoutMs, () => this.#become("failed"));
    this.#follow();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  listen(listener: (state: ConnectionState) => void): () => void {
    const own = (state: ConnectionState): void => listener(state);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopTimer?.();
    this.#listeners.clear();
    // Calls that have reached the connection go on to their end; the socket closes behind the last of them.
    this.channel.close();
  }

  /** Reads the state, connects if the channel is idle, and waits for the next change. */
  #follow(): void {
    if (this.#closed) return;
    const state = this.channel.getConnectivityState(true);
    // A stub's `close` closes the channel under us: it is of no use any more.
    if (state === connectivityState.SHUTDOWN) {
      this.#become("failed");
      return;
    }
    if (state === connectivityState.READY) this.#become("ready");
    else if (state === connectivityState.TRANSIENT_FAILURE) this.#become("failed");
    else if (this.#state === "ready" && this.#stopTimer === undefined)
      this.#stopTimer = this.#clock.setTimer(graceMs, () => this.#become("failed"));
    this.channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => this.#follow());
  }

  #become(state: ConnectionState): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (this.#closed || state === this.#state) return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }
}
