import { type ChannelCredentials, type ChannelOptions, credentials } from "@grpc/grpc-js";
import type { Clock } from "../clock.js";
import { Channel } from "./channel.js";
import type { Endpoint } from "./endpoint.js";

/** As Gazette's dispatcher: connections that nobody used for so long are closed. */
const SWEEP_MS = 30_000;

export interface ChannelPoolOptions {
  /** For https; others are plain. Default: TLS with the certificates of the system. */
  readonly credentials?: ChannelCredentials | undefined;
  readonly channelOptions: ChannelOptions;
  readonly clock: Clock;
  /** These are kept, used or not. */
  readonly defaults: readonly Endpoint[];
}

/**
 * A channel for each broker that calls go to. Needs no timer: grpc-js closes the connection of a channel that had no call for 30 s, and what
 * is left of it goes at the next call to any broker.
 */
export class ChannelPool {
  readonly #options: ChannelPoolOptions;
  readonly #channels = new Map<string, Channel>();
  readonly #kept: ReadonlySet<string>;
  #sweptMs: number;
  #secure: ChannelCredentials | undefined;

  constructor(options: ChannelPoolOptions) {
    this.#options = options;
    this.#kept = new Set(options.defaults.map(({ url }) => url));
    this.#sweptMs = options.clock.monotonicMs();
  }

  /** The endpoints there are channels for. */
  get endpoints(): readonly string[] {
    return [...this.#channels.keys()];
  }

  get(endpoint: Endpoint): Channel {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#sweptMs >= SWEEP_MS) this.#sweep(nowMs);
    let channel = this.#channels.get(endpoint.url);
    if (channel === undefined) {
      channel = new Channel(endpoint, this.#credentials(endpoint), this.#channelOptions(endpoint));
      this.#channels.set(endpoint.url, channel);
    }
    channel.lastUseMs = nowMs;
    return channel;
  }

  #credentials({ secure }: Endpoint): ChannelCredentials {
    if (!secure) return credentials.createInsecure();
    this.#secure ??= this.#options.credentials ?? credentials.createSsl();
    return this.#secure;
  }

  #channelOptions({ url }: Endpoint): ChannelOptions {
    const { channelOptions } = this.#options;
    return this.#kept.has(url)
      ? channelOptions
      : { "grpc.client_idle_timeout_ms": SWEEP_MS, ...channelOptions };
  }

  #sweep(nowMs: number): void {
    this.#sweptMs = nowMs;
    for (const [url, channel] of this.#channels) {
      if (this.#kept.has(url) || channel.uses > 0 || nowMs - channel.lastUseMs < SWEEP_MS) continue;
      this.#channels.delete(url);
      channel.close();
    }
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }
}
