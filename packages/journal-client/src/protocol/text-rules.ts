/** The rules of Gazette for names (broker/protocol/validator.go): which characters, how long, and in which order they sort. */
import { type Place, refuse } from "./refusal.js";

const TOKEN = /^[\p{L}\p{N}\-_+/.]*$/u;
const PATH = /^[\p{L}\p{N}\-_+/.=%]*$/u;

function checkCharacters(
  place: Place,
  value: unknown,
  rule: { pattern: RegExp; symbols: string; min: number; max: number },
): asserts value is string {
  const { pattern, symbols, min, max } = rule;
  if (typeof value !== "string") refuse(place, value, "it must be a string");
  const bytes = value.length > max ? value.length : Buffer.byteLength(value);
  if (bytes < min || bytes > max) {
    refuse(
      place,
      value,
      `its UTF-8 must be ${min} to ${max} bytes long, and it has ${Buffer.byteLength(value)}`,
    );
  }
  if (!pattern.test(value)) refuse(place, value, `only letters, digits and ${symbols} are allowed`);
}

/** A token: a label's name, a zone, a suffix. `min` and `max` are bytes of UTF-8. */
export function checkToken(place: Place, value: unknown, min: number, max: number): void {
  checkCharacters(place, value, { pattern: TOKEN, symbols: "- _ + / .", min, max });
}

/** A label's value: a token that may hold "=" and "%" too. */
export function checkValueToken(place: Place, value: unknown, max: number): void {
  checkCharacters(place, value, { pattern: PATH, symbols: "- _ + / . = %", min: 0, max });
}

/** Part of a path: not rooted, and without anything that a file system would take out ("//", "/./", "a/..", a last "/"). */
export function checkPathComponent(place: Place, value: unknown, min: number, max: number): void {
  checkCharacters(place, value, { pattern: PATH, symbols: "- _ + / . = %", min, max });
  if (value === "") return;
  if (value.startsWith("/")) refuse(place, value, 'it must not begin with "/"');
  if (!isCleanPath(value)) {
    refuse(
      place,
      value,
      'it must be a clean path, without empty parts, "." and ".." in it, and without a last "/"',
    );
  }
}

/** Whether Go's path.Clean leaves a path that is not rooted as it is: ".." may only lead, and "." only stand alone. */
function isCleanPath(path: string): boolean {
  if (path === ".") return true;
  let leading = true;
  for (const part of path.split("/")) {
    if (part === "" || part === ".") return false;
    if (part !== "..") leading = false;
    else if (!leading) return false;
  }
  return true;
}

/** The order of Go's strings: by the bytes of UTF-8. JavaScript's own differs, as surrogates sort before U+E000. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index);
    const right = b.charCodeAt(index);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

/** Puts surrogates, which stand for U+10000 and up, behind everything else. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
