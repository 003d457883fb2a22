import { expect } from "vitest";
import { SpaceError, type SpaceErrorCode } from "../src/index.js";

/** Runs `action`, expects it to throw a SpaceError with the code, and returns the error. */
export function expectSpaceError(code: SpaceErrorCode, action: () => unknown): SpaceError {
  let thrown: unknown;
  try {
    action();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(SpaceError);
  const error = thrown as SpaceError;
  expect(error.code).toBe(code);
  // One sentence for people, not a dump of the input.
  expect(error.message).toMatch(/^[A-Z].*\.$/);
  expect(error.message.length).toBeLessThan(300);
  return error;
}
