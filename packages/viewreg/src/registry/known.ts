import { isDeepStrictEqual } from "node:util";
import { type Range, type Space, SpaceError, spaceOf } from "@x/space";
import { RegistryError } from "../errors.js";
import type { ServerInfo } from "../probe.js";
import { describe } from "../text.js";

/** What a probe has said, checked. */
export interface Known<V extends ServerInfo> {
  readonly info: V;
  readonly serves: Range<unknown> | undefined;
  /** Of `serves`. */
  readonly space: Space<unknown> | undefined;
  readonly features: ReadonlySet<string>;
}

const maxFeatures = 1000;
const longestFeature = 256;

/**
 * Checks an answer of a probe, which has what a server said in it, so anything.
 *
 * @param space of `serves`; undefined for any
 * @returns `before` itself when the answer says the same
 * @throws RegistryError "bad-answer"
 */
export function checkInfo<V extends ServerInfo>(
  value: V,
  { before, space }: { readonly before: Known<V> | undefined; readonly space: Space<unknown> | undefined },
): Known<V> {
  try {
    const info: unknown = value;
    if (typeof info !== "object" || info === null || Array.isArray(info))
      throw new RegistryError("bad-answer", `a probe resolves to an object, not ${describe(info)}`);
    if (before !== undefined && isDeepStrictEqual(value, before.info)) return before;
    return { info: value, ...checkServes(value.serves, space), features: checkFeatures(value.features) };
  } catch (error) {
    if (error instanceof RegistryError) throw error;
    throw new RegistryError("bad-answer", "what the probe resolved to cannot be read", { cause: error });
  }
}

function checkFeatures(features: unknown): ReadonlySet<string> {
  if (features === undefined) return new Set();
  if (!Array.isArray(features) || features.length > maxFeatures)
    throw new RegistryError(
      "bad-answer",
      `\`features\` is an array of at most ${maxFeatures} strings, not ${Array.isArray(features) ? `one of ${features.length}` : describe(features)}`,
    );
  for (const feature of features as readonly unknown[]) {
    if (typeof feature !== "string" || feature.length === 0 || feature.length > longestFeature)
      throw new RegistryError(
        "bad-answer",
        `a feature is a string of 1 to ${longestFeature} characters, not ${describe(feature)}`,
      );
  }
  return new Set(features as readonly string[]);
}

function checkServes(
  serves: unknown,
  given: Space<unknown> | undefined,
): Pick<Known<ServerInfo>, "serves" | "space"> {
  if (serves === undefined) return { serves, space: undefined };
  if (typeof serves !== "object" || serves === null)
    throw new RegistryError("bad-answer", `\`serves\` is a range { from, to }, not ${describe(serves)}`);
  try {
    const { from, to } = serves as { readonly from?: unknown; readonly to?: unknown };
    const space = given ?? spaceOf(from);
    // Its own copy: the range is kept in an index, where it must not change.
    return { serves: space.range(from, to), space };
  } catch (error) {
    if (!(error instanceof SpaceError)) throw error;
    const of = given === undefined ? "" : ` of ${given.kind}`;
    throw new RegistryError("bad-answer", `\`serves\` is no range${of}: ${error.message}`, { cause: error });
  }
}
