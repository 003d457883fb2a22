/** A gRPC service that a server may provide; the values are bits, and can be joined by `|`. */
export const Feature = {
  /** `rpc.Diagnostics` */
  Diagnostics: 1,
  /** `rpc.Carousel` */
  Carousel: 2,
  /** `rpc.ReadFactsPO` */
  HashPO: 4,
  /** `rpc.ReadFactsSP` */
  HashSP: 8,
} as const;

export type Feature = (typeof Feature)[keyof typeof Feature];

export type FeatureName = keyof typeof Feature;

/** In the order of their bits. */
export const allFeatures: readonly Feature[] = Object.freeze(Object.values(Feature));

const names = new Map<number, FeatureName>(
  Object.entries(Feature).map(([name, feature]) => [feature, name as FeatureName]), // the keys of this very object
);

/** `Diagnostics`, `Carousel`, `HashPO` or `HashSP`; `Unknown feature (N)` for anything else. */
export function featureName(feature: Feature): FeatureName;
export function featureName(feature: number): string;
export function featureName(feature: number): string {
  return names.get(feature) ?? `Unknown feature (${feature})`;
}
