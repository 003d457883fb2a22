import type { KeySelector } from "./port.js";

/**
 * Orders keys by their UTF-8 bytes, as every store behind the port does. JavaScript's `<` orders by UTF-16 units, which
 * puts U+E000..U+FFFF behind the characters above U+FFFF.
 */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const x = a.charCodeAt(index);
    const y = b.charCodeAt(index);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Moves the surrogates behind the rest of the 16-bit units: then units compare as the code points that they are part of. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** Whether the selector covers the key. */
export function selects(selector: KeySelector, key: string): boolean {
  if ("key" in selector) return key === selector.key;
  if ("prefix" in selector) return key.startsWith(selector.prefix);
  return compareKeys(key, selector.from) >= 0 && compareKeys(key, selector.to) < 0;
}

/** The first key that the selector could cover. */
export function firstKey(selector: KeySelector): string {
  if ("key" in selector) return selector.key;
  return "prefix" in selector ? selector.prefix : selector.from;
}
