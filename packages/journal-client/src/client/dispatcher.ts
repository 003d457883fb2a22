import { status } from "@grpc/grpc-js";
import type { Clock } from "../clock.js";
import type { Route } from "../protocol/header.js";
import type { Channel } from "./channel.js";
import type { ChannelPool } from "./channel-pool.js";
import { membersOf, rankDefaults, rankMembers } from "./dispatch.js";
import { type Endpoint, memberEndpoint } from "./endpoint.js";
import type { ClientEvent } from "./events.js";
import { firstReady } from "./first-ready.js";
import type { DispatchRouter } from "./routed-journal-client.js";

/** Where a call wants to go. */
export interface Destination {
  /** The journal whose route is used, and forgotten when its broker is away. Without it: a default endpoint. */
  readonly journal?: string | undefined;
  /** Instead of the known route. */
  readonly route?: Route | undefined;
  /** To the primary, when it is known. */
  readonly primary?: boolean;
  /** Wait until a broker can be reached, instead of failing. */
  readonly wait?: boolean;
}

/** A broker that a call is made to. */
export interface Connection {
  readonly channel: Channel;
  /** Once, when the call is over. @param code the number of gRPC's status */
  release(code: number): void;
}

export interface DispatcherOptions {
  readonly pool: ChannelPool;
  readonly router: DispatchRouter;
  readonly zone: string | undefined;
  readonly defaults: readonly Endpoint[];
  readonly clock: Clock;
  readonly onEvent: (event: ClientEvent) => void;
}

/** More than a cluster has; brokers say which there are. */
const MAX_ENDPOINTS = 1_024;

/** Chooses brokers as Gazette's dispatcher does (broker/protocol/dispatcher.go), but goes on to the next one where that one gives up. */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  /** Taken apart already: routes name the same ones again and again. */
  readonly #endpoints = new Map<string, Endpoint | undefined>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** At once where nothing has to be waited for. @param call whose signal ends the waiting, if there is any */
  connect(
    destination: Destination,
    call: { readonly signal: AbortSignal },
  ): Connection | Promise<Connection> {
    const route = this.#route(destination);
    if (destination.primary === true && route !== undefined) {
      // The usual case of an append: there is one broker for it.
      const endpoint = this.#endpoint(route.endpoints[route.primary] ?? "");
      const channel = endpoint && this.#options.pool.get(endpoint);
      if (channel?.ready) return this.#use(channel, destination);
    }
    return this.#choose(route, destination, call);
  }

  async #choose(
    route: Route | undefined,
    destination: Destination,
    call: { readonly signal: AbortSignal },
  ): Promise<Connection> {
    const { pool, defaults, zone, clock, onEvent } = this.#options;
    const members = this.#members(route, destination.primary ?? false);
    const ranked = rankMembers(members, zone, ({ channel }) => channel).map(({ channel }) => channel);
    const others = rankDefaults(
      defaults.map((endpoint) => pool.get(endpoint)),
      (channel) => channel,
    );
    const channels = [...new Set([...ranked, ...others])];
    const best = channels[0]!;
    const chosen = best.ready
      ? best
      : await firstReady(channels, {
          clock,
          signal: call.signal,
          wait: destination.wait ?? false,
          onAllFailed: (failed) =>
            onEvent({ type: "no-broker", endpoints: failed.map(({ endpoint }) => endpoint.url) }),
        });
    if (members.length > 0 && members.every(({ channel }) => channel.failed)) this.#forget(destination);
    return this.#use(chosen, destination);
  }

  #route({ route, journal }: Destination): Route | undefined {
    return route ?? (journal === undefined ? undefined : this.#options.router.route(journal));
  }

  #members(
    route: Route | undefined,
    primary: boolean,
  ): readonly { zone: string; endpoint: string; channel: Channel }[] {
    const { pool } = this.#options;
    if (route === undefined) return [];
    return membersOf(route, primary).flatMap((member) => {
      const endpoint = this.#endpoint(member.endpoint);
      return endpoint === undefined ? [] : [{ ...member, channel: pool.get(endpoint) }];
    });
  }

  #endpoint(text: string): Endpoint | undefined {
    if (this.#endpoints.has(text)) return this.#endpoints.get(text);
    if (this.#endpoints.size >= MAX_ENDPOINTS) this.#endpoints.clear();
    const endpoint = memberEndpoint(text);
    this.#endpoints.set(text, endpoint);
    return endpoint;
  }

  #use(channel: Channel, destination: Destination): Connection {
    const { clock } = this.#options;
    channel.uses++;
    return {
      channel,
      release: (code) => {
        channel.uses--;
        channel.lastUseMs = clock.monotonicMs();
        if (code === status.UNAVAILABLE) this.#forget(destination);
      },
    };
  }

  #forget({ journal }: Destination): void {
    if (journal !== undefined) this.#options.router.updateRoute(journal, undefined);
  }
}
