// What comes from outside, as a part of our own sentences.

/** For a message: short, and never what a hostile value's own code makes of itself. */
export function describe(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value);
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return String(value);
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}

/** One line of readable text, however it came here. */
export function oneLine(value: unknown, longest = 200): string {
  let text: string;
  try {
    text = value instanceof Error ? value.message : String(value);
  } catch {
    text = "(an error that cannot be shown)";
  }
  const line = text
    .slice(0, longest + 1)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim();
  return line.length > longest || text.length > longest ? `${line.slice(0, longest)}...` : line;
}
