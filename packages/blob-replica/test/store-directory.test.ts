import { describe } from "vitest";
import { itIsAStore } from "./support/compliance.js";
import { directoryUnderTest } from "./support/stores.js";

describe("directoryStore", () => {
  itIsAStore(directoryUnderTest(), { damage: true });
});

describe("directoryStore without blocking reads", () => {
  itIsAStore(directoryUnderTest({ blockingReads: false }, 200), { damage: true });
});
