import { describe, expect, it } from "vitest";
import { filledLines } from "../src/http/lines.js";

describe("the lines of a text", () => {
  /** Every text of so many of these. */
  function* textsOf(length: number): Generator<string> {
    if (length === 0) yield "";
    else
      for (const text of textsOf(length - 1)) for (const end of ["\n", "\r", " ", "x", "é"]) yield text + end;
  }

  it("are those that split gives, without the empty ones, numbered over all", () => {
    for (let length = 0; length <= 6; length++) {
      for (const text of textsOf(length)) {
        const expected = text
          .split("\n")
          .map((line, i) => ({ text: line, number: i + 1 }))
          .filter((line) => line.text.trim() !== "");
        expect([...filledLines(text)]).toEqual(expected);
      }
    }
  });

  it("are many when they are empty, and still none", () => {
    expect([...filledLines("\n".repeat(1_000_000))]).toEqual([]);
    expect([...filledLines(`${"\n".repeat(1_000_000)}x`)]).toEqual([{ text: "x", number: 1_000_001 }]);
  });
});
