import { copyWithFeatures } from "../registry/view.js";

/**
 * A copy of a registry's view that provides exactly these features. The view itself and the registry stay as they are.
 *
 * @throws RegistryError "invalid-argument" for what is no view of a registry
 */
export function withFeatures<
  T extends { provides(...features: readonly F[]): boolean },
  const F extends string,
>(view: T, ...features: readonly F[]): T {
  return copyWithFeatures(view, features);
}
