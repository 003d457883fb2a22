import { describe } from "vitest";
import { itIsAStore } from "./support/compliance.js";
import { directoryUnderTest } from "./support/stores.js";

describe("directoryStore", () => {
  itIsAStore(directoryUnderTest(), { damage: true });
});

describe("directoryStore that syncs what it writes", () => {
  itIsAStore(directoryUnderTest({}, { manyBlobs: 200, synced: true }), { damage: true });
});

describe("directoryStore without blocking reads", () => {
  itIsAStore(directoryUnderTest({ blockingReads: false }, { manyBlobs: 200 }), { damage: true });
});
