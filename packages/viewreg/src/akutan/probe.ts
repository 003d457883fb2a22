import type { ChannelInterface } from "@grpc/grpc-js";
import type { Range } from "@x/space";
import { RegistryError } from "../errors.js";
import type { StatsResult } from "../gen/rpc/views.js";
import { unary } from "../grpc/calls.js";
import type { Probe } from "../probe.js";
import type { FeatureName } from "./feature.js";
import { type FactPartition, partitionFromWire } from "./partition.js";
import { akutanFeatures } from "./stubs.js";

export type AkutanChannel = ChannelInterface;

/** What a server provides and hosts. */
export interface AkutanInfo {
  readonly features: readonly FeatureName[];
  /** There whenever Carousel, HashPO or HashSP is among the features. */
  readonly partition?: FactPartition;
  /** The range of `partition`, so that a healthy view is a view for `@x/fanout`. */
  readonly serves?: Range<bigint>;
}

/** Calls `rpc.Diagnostics.stats`. Rejects with RegistryError "bad-answer" for a kind of server it does not know, ServiceError, or the signal's reason. */
export const akutanProbe: Probe<AkutanChannel, AkutanInfo> = async (channel, { signal }) => {
  const diagnostics = akutanFeatures.client("Diagnostics", channel);
  return parseStats(await unary<StatsResult>((callback) => diagnostics.stats({}, callback), signal));
};

/**
 * What a server is, by its view type: `diskview/...` hosts a partition, which is hashed by predicate and object or by subject and predicate;
 * `txtimeout` hosts none.
 * @throws RegistryError "bad-answer"
 */
export function parseStats(stats: Pick<StatsResult, "viewType" | "hashPartition">): AkutanInfo {
  if (stats.viewType === "txtimeout") return { features: ["Diagnostics"] };
  if (!stats.viewType.startsWith("diskview/"))
    throw new RegistryError(
      "bad-answer",
      `the server's view type is ${JSON.stringify(stats.viewType.slice(0, 128))}; known are "txtimeout" and "diskview/..."`,
    );
  const partition = partitionFromWire(stats.hashPartition);
  const reads = partition.hash === "PO" ? "HashPO" : "HashSP";
  return { features: ["Diagnostics", "Carousel", reads], partition, serves: partition.hashRange };
}
