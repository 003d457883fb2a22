/** Which servers exist, which of them are well, and what they serve. */

export type { Clock } from "./clock.js";
export type { Connection, ConnectionState, Connector } from "./connection.js";
export { type Endpoint, formatEndpoint, parseEndpoint } from "./endpoint.js";
export { RegistryError, type RegistryErrorCode } from "./errors.js";
export {
  type ClientConstructor,
  type ClientConstructors,
  defineFeatures,
  type FeatureName,
  type Features,
  type GrpcChannel,
  type GrpcChannelSettings,
  type GrpcConnectorOptions,
  type GrpcHealth,
  type GrpcHealthOptions,
  type GrpcInfo,
  type GrpcProbeOptions,
  type GrpcRegistry,
  type GrpcRegistryOptions,
  type GrpcStubs,
  type GrpcView,
  grpcConnector,
  grpcHealth,
  minKeepaliveMs,
  openGrpcRegistry,
} from "./grpc/index.js";
export type { Reason } from "./judgement/standing.js";
export type { Locator } from "./locator.js";
export {
  type DnsAddress,
  type DnsLocatorOptions,
  type DnsResolver,
  type DnsService,
  dnsLocator,
  type SrvLocatorOptions,
  srvLocator,
} from "./locators/dns.js";
export { type FileLocatorOptions, type FileSource, fileLocator } from "./locators/file.js";
export { firstNonempty } from "./locators/first-nonempty.js";
export { keepLocating, type RetryOptions } from "./locators/keep-locating.js";
export { type StaticLocator, staticLocator } from "./locators/static.js";
export { type SystemDnsOptions, systemDnsResolver } from "./locators/system-dns.js";
export { exclude, filter, map } from "./locators/transform.js";
export { type UnionOptions, union } from "./locators/union.js";
export type { Listen, Probe, ProbeContext, ServerInfo } from "./probe.js";
export type {
  HealthyView,
  Judgement,
  PointOf,
  Probing,
  ProblemKind,
  RegistryEvent,
  RegistryEventName,
  RegistryLog,
  RegistryMetrics,
  RegistryOptions,
  RegistrySummary,
  RegistryView,
  ServerJudgement,
  Serves,
  Snapshot,
} from "./registry/contract.js";
export { Registry } from "./registry/registry.js";
