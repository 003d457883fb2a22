import { byteKeys } from "./byte-keys.js";
import { isBytes } from "./bytes.js";
import { hash16 } from "./hash16.js";
import { hash64 } from "./hash64.js";
import type { FiniteSpace, Space } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";
import { utf8Keys } from "./utf8-keys.js";

/**
 * The space whose points have the type of this one: `hash64` for a bigint, `hash16` for a number, `utf8Keys` for a string,
 * `byteKeys` for a Uint8Array. For generic code whose callers pass points and no space.
 *
 * It looks at the type only: -1 gives `hash16`, which then says that -1 is none of its points.
 *
 * @throws SpaceError "invalid-point" for everything else, `infinity` included, since all spaces share it
 */
export function spaceOf(point: bigint): FiniteSpace<bigint>;
export function spaceOf(point: number): FiniteSpace<number>;
export function spaceOf(point: string): Space<string>;
export function spaceOf(point: Uint8Array): Space<Uint8Array>;
export function spaceOf<P>(point: P): Space<P>;
export function spaceOf(
  point: unknown,
): FiniteSpace<bigint> | FiniteSpace<number> | Space<string> | Space<Uint8Array> {
  switch (typeof point) {
    case "bigint":
      return hash64;
    case "number":
      return hash16;
    case "string":
      return utf8Keys;
    default:
      if (isBytes(point)) return byteKeys;
      throw new SpaceError(
        "invalid-point",
        `Points are bigints, numbers, strings or Uint8Arrays, and this is ${describeValue(point)}.`,
      );
  }
}
