import { describe, expect, it } from "vitest";
import { JsonSize } from "../src/http/json-size.js";

describe("the size of JSON", () => {
  function sizeOf(text: string, chunkBytes = Number.POSITIVE_INFINITY): number {
    const size = new JsonSize();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += chunkBytes) size.add(bytes.subarray(at, at + chunkBytes));
    return size.values;
  }

  function valuesOf(value: unknown): number {
    if (typeof value !== "object" || value === null) return 1;
    return Object.values(value).reduce<number>((sum, one) => sum + valuesOf(one), 1);
  }

  const samples = [
    7,
    "",
    'a "quoted", [bracketed] {text} \\ with\nlines\\',
    [],
    [1, 2, 3],
    { key: "a", data: ',"\\', headers: { "x,{": "[", 'y"\\': "" } },
    Array.from({ length: 1_000 }, () => ["\\", '\\"', { "\\": {} }]),
    "日本語, [é]",
  ];

  it.each(samples.map((value) => [JSON.stringify(value).slice(0, 40), value]))(
    "bounds the values of %s",
    (_, value) => {
      const text = JSON.stringify(value);
      const size = sizeOf(text);
      expect(valuesOf(value)).toBeLessThanOrEqual(size + 1);
      // Most with only empty lists and objects, each of which counts by its bracket as well.
      expect(size).toBeLessThanOrEqual(2 * valuesOf(value));
    },
  );

  it("is the same however the text is cut into chunks", () => {
    for (const value of samples) {
      const text = JSON.stringify(value);
      for (const chunkBytes of [1, 2, 3, 7]) expect(sizeOf(text, chunkBytes)).toBe(sizeOf(text));
    }
  });

  it("has the lines between texts, and not what is inside of these", () => {
    expect(sizeOf('"a"\n\n"b"\n')).toBe(3);
    expect(sizeOf(JSON.stringify("\n,[{".repeat(100)))).toBe(0);
  });
});
