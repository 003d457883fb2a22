/** Points in ascending order: both ends, neighbours, and the values where other orders differ. */
export const points64: readonly bigint[] = [
  0n,
  1n,
  2n,
  9n,
  10n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 2n,
  (1n << 64n) - 1n,
];

export const points16: readonly number[] = [0, 1, 2, 9, 10, 255, 256, 32767, 32768, 65534, 65535];

/** By UTF-8 bytes. JavaScript's `<` would put the emoji before U+E000. */
export const pointsKeys: readonly string[] = [
  "",
  "\0",
  "0",
  "10",
  "9",
  "B",
  "a",
  "a\0",
  "aa",
  "inf",
  "\u00e9",
  "\u20ac",
  "\ud7ff",
  "\ue000",
  "\ufffd",
  "\uffff",
  "\u{10000}",
  "\u{1f600}",
  "\u{10ffff}",
];

/** Unsigned: 0x80 is after 0x7f. */
export const pointsBytes: readonly Uint8Array[] = [
  [],
  [0],
  [0, 0],
  [0, 1],
  [1],
  [0x7f],
  [0x7f, 0xff],
  [0x80],
  [0xc3, 0xa9],
  [0xff],
  [0xff, 0, 0, 0, 0, 0],
  [0xff, 0, 0, 0, 0, 0, 0],
  [0xff, 0, 0, 0, 0, 0, 1],
  [0xff, 0xff],
].map((bytes) => Uint8Array.from(bytes));
