import { type Bound, byteKeys, hash16, hash64, infinity, type Range, type Space, utf8Keys } from "@x/space";
import fc from "fast-check";

/** A space and points of it: near each other, far from each other, and equal often enough to matter. */
export interface SpaceCase<P> {
  readonly name: string;
  readonly space: Space<P>;
  readonly point: fc.Arbitrary<P>;
}

/** Units around every limit of the order of UTF-8: ends of the one-, two- and three-byte forms, and halves of pairs with and without the other. */
const units = ["\0", "a", "b", "\x7f", "\x80", "\xff", "\u01fd", "\u01fe", "\u07ff", "\u0800", "\ud7ff"];
const surrogates = ["\ud800", "\udbff", "\udc00", "\udfff", "\ue000", "\ufffd", "\uffff", "\u{10000}"];

const text = fc.oneof(
  fc.string({ unit: fc.constantFrom(...units, ...surrogates), maxLength: 6 }),
  fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 8 }),
  fc.nat(999).map((number) => `a long common start, then ${number}`),
);

const bigint = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.bigInt({ min: 0n, max: 40n }),
  fc.bigInt({ min: 1n << 63n, max: (1n << 63n) + (1n << 33n) }),
);

const bytes = fc
  .array(fc.constantFrom(0, 1, 127, 128, 255), { maxLength: 8 })
  .map((values) => Uint8Array.from(values));

/** Spaces of @x/space, and some that it does not know: with negative ranks, with ranks that decide little, and none. */
export const spaceCases: readonly (
  | SpaceCase<bigint>
  | SpaceCase<number>
  | SpaceCase<string>
  | SpaceCase<Uint8Array>
)[] = [
  { name: "hash64", space: hash64, point: bigint },
  { name: "hash16", space: hash16, point: fc.nat(65535) },
  { name: "utf8Keys", space: utf8Keys, point: text },
  { name: "byteKeys", space: byteKeys, point: bytes },
  { name: "a space of bigints", space: { ...hash64, kind: "mine" }, point: bigint },
  {
    name: "a space with ranks below zero",
    space: { ...hash16, kind: "mine", rank: (point: number) => Math.trunc(point / 1000 - 30) },
    point: fc.nat(65535),
  },
  { name: "a space without ranks", space: { ...utf8Keys, kind: "mine", rank: () => 0 }, point: text },
];

/** A range of the space, now and then empty or up to infinity. */
export function rangesOf<P>({ space, point }: SpaceCase<P>): fc.Arbitrary<Range<P>> {
  const end: fc.Arbitrary<Bound<P>> = fc.oneof({ arbitrary: point, weight: 4 }, fc.constant(infinity));
  return fc
    .tuple(point, end)
    .map(([a, b]) => (b !== infinity && space.compare(a, b) > 0 ? { from: b, to: a } : { from: a, to: b }));
}
