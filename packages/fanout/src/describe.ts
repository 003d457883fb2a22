/** What a value is, for a message: short, on one line, and never throwing, whatever it was given. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(shorten(value, 60));
    case "bigint":
      return `${value}n`;
    case "function":
      return "a function";
    case "object":
      if (value === null) return "null";
      return Array.isArray(value) ? "an array" : "an object";
    case "symbol":
      return "a symbol";
    default:
      return String(value);
  }
}

/** An error's message, whatever was thrown. */
export function messageOf(error: unknown): string {
  const message = attempt(() =>
    typeof error === "object" && error !== null && "message" in error ? error.message : undefined,
  );
  if (typeof message === "string" && message !== "") return shorten(message, 300);
  if (typeof error === "string") return shorten(error, 300);
  const name = attempt(() => (error instanceof Error ? error.name : undefined));
  return typeof name === "string" && name !== "" ? shorten(name, 60) : `it threw ${describe(error)}`;
}

/** What the function returns, or undefined when it throws: for reading what others have made. */
export function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

export function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}... (${text.length} characters)`;
}
