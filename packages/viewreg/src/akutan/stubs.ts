import type { ChannelInterface } from "@grpc/grpc-js";
import { CarouselClient, DiagnosticsClient, ReadFactsPOClient, ReadFactsSPClient } from "../gen/rpc/views.js";
import { defineFeatures, type Features } from "../grpc/features.js";
import type { FactPartition } from "./partition.js";
import type { AkutanInfo } from "./probe.js";

/** The stub classes of the four features, by `featureName`. */
export const akutanFeatures: Features<{
  readonly Diagnostics: typeof DiagnosticsClient;
  readonly Carousel: typeof CarouselClient;
  readonly HashPO: typeof ReadFactsPOClient;
  readonly HashSP: typeof ReadFactsSPClient;
}> = defineFeatures({
  Diagnostics: DiagnosticsClient,
  Carousel: CarouselClient,
  HashPO: ReadFactsPOClient,
  HashSP: ReadFactsSPClient,
});

/** What a view has besides. The stubs are the same for each view of a server, and cheap to ask for. Calls through one that the view does not provide are likely to fail. */
export interface AkutanStubs {
  readonly partition: FactPartition | undefined;
  carousel(): CarouselClient;
  diagnostics(): DiagnosticsClient;
  hashPO(): ReadFactsPOClient;
  hashSP(): ReadFactsSPClient;
}

interface Extended {
  readonly channel: ChannelInterface;
  readonly info: AkutanInfo | undefined;
}

/** The registry's `extend`. */
export const akutanExtension: AkutanStubs & ThisType<Extended> = {
  get partition(): FactPartition | undefined {
    return (this as unknown as Extended).info?.partition; // the view that this is put upon
  },
  carousel() {
    return akutanFeatures.client("Carousel", this.channel);
  },
  diagnostics() {
    return akutanFeatures.client("Diagnostics", this.channel);
  },
  hashPO() {
    return akutanFeatures.client("HashPO", this.channel);
  },
  hashSP() {
    return akutanFeatures.client("HashSP", this.channel);
  },
};
