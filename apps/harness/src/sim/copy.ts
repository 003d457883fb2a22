/** A deep copy of plain data, as a trip over a wire makes one: nobody sees later what the sender does with his bytes. */
export function copyValue(value: unknown): unknown {
  if (typeof value !== "object" || value === null) {
    if (typeof value === "function") throw new TypeError("a function can't be sent");
    return value;
  }
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (value instanceof Uint8Array) return value.slice();
  if (Array.isArray(value)) return value.map(copyValue);
  const copy: Record<string, unknown> = {};
  for (const [name, part] of Object.entries(value)) {
    if (part !== undefined) copy[name] = copyValue(part);
  }
  return copy;
}
