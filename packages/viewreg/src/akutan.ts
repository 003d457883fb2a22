/** The four gRPC services of Akutan's view servers as features, and the probe that asks a server which of them it provides. */

export { allFeatures, Feature, type FeatureName, featureName } from "./akutan/feature.js";
export type { FactPartition } from "./akutan/partition.js";
export { type AkutanChannel, type AkutanInfo, akutanProbe, parseStats } from "./akutan/probe.js";
export { type AkutanStubs, akutanExtension, akutanFeatures } from "./akutan/stubs.js";
export {
  CarouselClient,
  DiagnosticsClient,
  FactKeyEncoding,
  ReadFactsPOClient,
  ReadFactsSPClient,
  type StatsResult,
} from "./gen/rpc/views.js";
