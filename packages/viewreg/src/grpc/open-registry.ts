import { formatEndpoint } from "../endpoint.js";
import type { Probe, ServerInfo } from "../probe.js";
import type { RegistryOptions, RegistryView } from "../registry/contract.js";
import { Registry } from "../registry/registry.js";
import { type GrpcChannel, type GrpcConnectorOptions, grpcConnector } from "./connector.js";
import { type ClientConstructors, defineFeatures, type FeatureName, type Features } from "./features.js";
import { type GrpcHealthOptions, type GrpcInfo, grpcHealth } from "./health.js";

/** What views have besides. */
export interface GrpcStubs<M extends ClientConstructors> {
  /** The stub of a feature, over the registry's channel to this server; the same one each time. Do not `close()` it. @throws RegistryError "no-feature" */
  client<K extends FeatureName<M>>(name: K): InstanceType<M[K]>;
}

export type GrpcView<
  M extends ClientConstructors,
  V extends ServerInfo = GrpcInfo<FeatureName<M>>,
> = RegistryView<V, GrpcChannel, FeatureName<M>> & GrpcStubs<M>;

export type GrpcRegistry<
  M extends ClientConstructors,
  V extends ServerInfo = GrpcInfo<FeatureName<M>>,
> = Registry<V, GrpcChannel, FeatureName<M>, GrpcStubs<M>>;

/** All that a Registry takes, how to connect, and what to ask for. */
export interface GrpcRegistryOptions<M extends ClientConstructors>
  extends Omit<
      RegistryOptions<GrpcInfo<FeatureName<M>>, GrpcChannel, FeatureName<M>>,
      "connector" | "probe" | "listen" | "extend"
    >,
    GrpcConnectorOptions,
    Omit<GrpcHealthOptions<FeatureName<M>>, "features" | "onMissing"> {
  /** Default: none. */
  readonly features?: Features<M>;
}

export interface GrpcProbeOptions<M extends ClientConstructors, V extends ServerInfo> {
  /**
   * What a server is beside its health, as the range that it serves: given what `grpc.health.v1` says, it may look at the endpoint's
   * labels or ask more over the channel. It is the probe, and `health` the first part of it.
   */
  readonly probe: (
    health: GrpcInfo<FeatureName<M>>,
    ...args: Parameters<Probe<GrpcChannel, V>>
  ) => V | Promise<V>;
}

/**
 * A registry of servers that speak gRPC and `grpc.health.v1`. Returns at once; nothing is known yet.
 * @throws RegistryError "invalid-argument"
 */
export function openGrpcRegistry<const M extends ClientConstructors, V extends ServerInfo>(
  options: GrpcRegistryOptions<M> & GrpcProbeOptions<M, V>,
): GrpcRegistry<M, V>;
export function openGrpcRegistry<const M extends ClientConstructors = Record<never, never>>(
  options: GrpcRegistryOptions<M>,
): GrpcRegistry<M>;
export function openGrpcRegistry<M extends ClientConstructors, V extends ServerInfo>(
  options: GrpcRegistryOptions<M> & Partial<GrpcProbeOptions<M, V>>,
): GrpcRegistry<M, V> {
  const {
    credentials,
    callCredentials,
    channelOptions,
    connectTimeoutMs,
    service,
    assumed,
    recheckEvery,
    probe,
    features = defineFeatures({}) as unknown as Features<M>,
    ...rest
  } = options; // without features there are no names in M
  const { clock, log } = rest;
  const health = grpcHealth<FeatureName<M>>({
    features,
    service,
    assumed,
    recheckEvery,
    onMissing: (endpoint) =>
      log?.({
        event: "no-health-service",
        endpoint: formatEndpoint(endpoint),
        reason: "the server does not implement grpc.health.v1: it counts as well while it answers",
      }),
  });
  const ask: Probe<GrpcChannel, V> =
    probe === undefined
      ? (health.probe as Probe<GrpcChannel, ServerInfo> as Probe<GrpcChannel, V>) // V is GrpcInfo where there is no probe
      : async (channel, context) => probe(await health.probe(channel, context), channel, context);
  return Registry.open<V, GrpcChannel, FeatureName<M>, GrpcStubs<M>>({
    ...rest,
    connector: grpcConnector({ credentials, callCredentials, channelOptions, connectTimeoutMs, clock }),
    probe: ask,
    listen: health.listen,
    extend: {
      client(name) {
        return features.client(name, this.channel);
      },
    },
  });
}
