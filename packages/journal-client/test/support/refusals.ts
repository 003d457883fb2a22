import { expect } from "vitest";
import type { JournalErrorCode } from "../../src/errors.js";

/** Expects a refusal with this code, and these words in its sentence. */
export function expectRefusal(code: JournalErrorCode, words: string, call: () => unknown): void {
  expect(call).toThrow(expect.objectContaining({ code, message: expect.stringContaining(words) }));
}
