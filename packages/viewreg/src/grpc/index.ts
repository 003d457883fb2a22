/** Servers that speak gRPC: how to connect to them, ask for their health, and call them. */

export { type GrpcChannelSettings, minKeepaliveMs } from "./channel-options.js";
export { type GrpcChannel, type GrpcConnectorOptions, grpcConnector } from "./connector.js";
export {
  type ClientConstructor,
  type ClientConstructors,
  defineFeatures,
  type FeatureName,
  type Features,
} from "./features.js";
export { type GrpcHealth, type GrpcHealthOptions, type GrpcInfo, grpcHealth } from "./health.js";
export {
  type GrpcProbeOptions,
  type GrpcRegistry,
  type GrpcRegistryOptions,
  type GrpcStubs,
  type GrpcView,
  openGrpcRegistry,
} from "./open-registry.js";
