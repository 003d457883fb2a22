import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fnv1a, moduloMapping, randomMapping, rendezvousMapping } from "../src/messages/mapping.js";
import type { ListResponse } from "../src/protocol/responses.js";
import { specNamed } from "./support/messages.js";

function listing(names: readonly string[]): ListResponse {
  return {
    status: "OK",
    header: {
      processId: { zone: "", suffix: "" },
      route: { members: [], primary: -1, endpoints: [] },
      etcd: { clusterId: 1n, memberId: 1n, revision: 1n, raftTerm: 1n },
    },
    journals: names.map((name) => ({
      spec: specNamed(name),
      modRevision: 1n,
      createRevision: 1n,
      route: { members: [], primary: -1, endpoints: [] },
    })),
  };
}

const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 12 });

describe("FNV-1a", () => {
  // From the test vectors of its authors (draft-eastlake-fnv).
  it.each([
    ["", 0x811c9dc5],
    ["a", 0xe40c292c],
    ["foobar", 0xbf9cf968],
  ])("hashes %j", (text, hash) => {
    expect(fnv1a(text)).toBe(hash);
    expect(fnv1a(Buffer.from(text))).toBe(hash);
  });
});

describe("mappings", () => {
  const key = (message: string): string => message;

  it("give the journal and its content type", () => {
    const journals = listing(["one"]);
    for (const mapping of [moduloMapping(key, () => journals), rendezvousMapping(key, () => journals)]) {
      expect(mapping("anything")).toEqual({ journal: "one", contentType: "application/x-ndjson" });
    }
  });

  it.each([
    ["a listing that is empty", () => listing([])],
    ["no listing yet", () => undefined],
  ])("refuse %s", (_what, partitions) => {
    for (const mapping of [
      moduloMapping(key, partitions),
      rendezvousMapping(key, partitions),
      randomMapping<string>(partitions),
    ]) {
      expect(() => mapping("a")).toThrow(expect.objectContaining({ code: "no-journals" }));
    }
  });

  it("choose the journal at the hash modulo their number", () => {
    fc.assert(
      fc.property(names, fc.string(), (all, message) => {
        const journals = listing(all);
        expect(moduloMapping(key, () => journals)(message).journal).toBe(all[fnv1a(message) % all.length]);
      }),
    );
  });

  it("move a key only to a journal that came, or from one that went", () => {
    fc.assert(
      fc.property(names, fc.stringMatching(/^[A-Z]{1,8}$/), fc.array(fc.string()), (all, added, messages) => {
        const before = rendezvousMapping(key, () => listing(all));
        const after = rendezvousMapping(key, () => listing([...all, added]));
        for (const message of messages) {
          expect([before(message).journal, added]).toContain(after(message).journal);
        }
      }),
    );
  });

  it("look at a new listing, and only then", () => {
    let now = listing(["one"]);
    const mapping = rendezvousMapping(key, () => now);
    expect(mapping("a").journal).toBe("one");
    now = listing(["two"]);
    expect(mapping("a").journal).toBe("two");
  });

  it("choose any journal at random", () => {
    const values = [0, 0.5, 0.999];
    const mapping = randomMapping<string>(() => listing(["one", "two", "three"]), {
      number: () => values.shift() ?? 0,
      bytes: (count) => new Uint8Array(count),
    });
    expect([mapping("a").journal, mapping("a").journal, mapping("a").journal]).toEqual([
      "one",
      "two",
      "three",
    ]);
  });
});
