import { type ChannelInterface, credentials, status } from "@grpc/grpc-js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import { type HealthCheckResponse, HealthClient } from "../gen/grpc/health/v1/health.js";
import type { Listen, Probe, ProbeContext } from "../probe.js";
import { isUnimplemented, statusOf, unary } from "./calls.js";
import { ChannelHealth, type Serving, servingOf } from "./channel-health.js";
import { watchHealth } from "./watch-health.js";

/** What `grpc.health.v1` tells of a server. */
export interface GrpcInfo<F extends string = string> {
  /** The features whose services are SERVING, in the order of their definition. */
  readonly features: readonly F[];
}

export interface GrpcHealthOptions<F extends string> {
  /** Which features to ask for, each by the full name of its service. Default: none. */
  readonly features?: { readonly names: readonly F[]; service(name: F): string };
  /** The service that stands for the server as a whole. Default: the empty name, as the protocol has it. */
  readonly service?: string;
  /** What a server provides that has no health service, and so is well as long as it answers. Default: nothing. */
  readonly assumed?: readonly F[];
  /** Features are asked for again with every n-th probe where the server does not tell of changes by itself. Default 20. */
  readonly recheckEvery?: number;
  /** Told once of each server that has no health service, which a reader of logs should know. */
  readonly onMissing?: (endpoint: Endpoint) => void;
}

/** The two belong together: what the server tells the one by itself, the other need not ask. */
export interface GrpcHealth<F extends string> {
  /**
   * One Check of the whole server; one more per feature for a new connection, with every n-th probe, and as long as there is no Watch.
   * Rejects with RegistryError "not-serving" for anything but SERVING, "bad-answer" for what the protocol does not have,
   * the signal's reason, or the ServiceError of the call; Checks that are still open then end with the signal. A server that knows its services but not itself as a whole is well when one
   * of the features is.
   */
  readonly probe: Probe<ChannelInterface, GrpcInfo<F>>;
  /** Watch of the whole server, and of each feature. Ends at once, without an error, when the server has no Watch. */
  readonly listen: Listen<ChannelInterface>;
}

/** Asks servers by `grpc.health.v1` whether they are well and which features they provide. @throws RegistryError "invalid-argument" */
export function grpcHealth<F extends string = never>(options: GrpcHealthOptions<F> = {}): GrpcHealth<F> {
  const asking = new Asking(options);
  return {
    probe: (channel, context) => asking.probe(channel, context),
    listen: (channel, { signal }) => watchHealth(asking.channel(channel), { signal }),
  };
}

/** A feature and the service behind it. */
interface Asked<F extends string> {
  readonly name: F;
  readonly service: string;
}

class Asking<F extends string> {
  readonly #service: string;
  readonly #features: readonly Asked<F>[];
  readonly #assumed: GrpcInfo<F>;
  readonly #recheckEvery: number;
  readonly #onMissing: ((endpoint: Endpoint) => void) | undefined;
  readonly #channels = new WeakMap<ChannelInterface, ChannelHealth<F>>();

  constructor({ features, service = "", assumed = [], recheckEvery = 20, onMissing }: GrpcHealthOptions<F>) {
    if (!Number.isInteger(recheckEvery) || recheckEvery < 1)
      throw new RegistryError(
        "invalid-argument",
        `recheckEvery is ${recheckEvery}; it must be an integer from 1`,
      );
    const names = features?.names ?? [];
    const unknown = assumed.find((name) => !names.includes(name));
    if (unknown !== undefined)
      throw new RegistryError("invalid-argument", `assumed has ${unknown}, which is no feature`);
    this.#service = service;
    this.#features = names.map((name) => ({ name, service: features?.service(name) ?? name }));
    this.#assumed = Object.freeze({
      features: Object.freeze(names.filter((name) => assumed.includes(name))),
    });
    this.#recheckEvery = recheckEvery;
    this.#onMissing = onMissing;
  }

  channel(channel: ChannelInterface): ChannelHealth<F> {
    let known = this.#channels.get(channel);
    if (known === undefined) {
      // The address and the credentials are the channel's; these are not looked at.
      const client = new HealthClient(channel.getTarget(), credentials.createInsecure(), {
        channelOverride: channel,
      });
      known = new ChannelHealth(client, channel, { overall: this.#service, features: this.#features });
      this.#channels.set(channel, known);
    }
    return known;
  }

  async probe(channel: ChannelInterface, context: ProbeContext): Promise<GrpcInfo<F>> {
    const known = this.channel(channel);
    const asked = known.takeDue(this.#recheckEvery);
    try {
      const [overall, ...answers] = await Promise.all(
        [this.#service, ...asked].map((service) => check(known.client, service, context.signal)),
      );
      for (const [index, service] of asked.entries()) known.learn(service, answers[index] ?? "unknown");
      return this.#judge(known, overall ?? "unknown");
    } catch (error) {
      known.forget(asked);
      context.signal.throwIfAborted();
      if (!isUnimplemented(error)) throw error;
      if (!known.toldMissing) this.#onMissing?.(context.endpoint);
      known.toldMissing = true;
      return this.#assumed;
    }
  }

  #judge(known: ChannelHealth<F>, overall: Serving): GrpcInfo<F> {
    const info = known.info();
    if (overall === "serving") return info;
    if (
      overall === "not-serving" ||
      this.#service !== "" ||
      (this.#features.length > 0 && info.features.length === 0)
    )
      throw new RegistryError(
        "not-serving",
        overall === "not-serving"
          ? "the server says that it does not serve"
          : `the server does not know ${this.#service === "" ? "any of the features" : this.#service}`,
      );
    return info;
  }
}

async function check(client: HealthClient, service: string, signal: AbortSignal): Promise<Serving> {
  try {
    const answer = await unary<HealthCheckResponse>(
      (callback) => client.check({ service }, callback),
      signal,
    );
    return servingOf(answer.status);
  } catch (error) {
    if (statusOf(error) === status.NOT_FOUND && !signal.aborted) return "unknown";
    throw error;
  }
}
