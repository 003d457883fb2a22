import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bearerAuth, Capability, JournalClient, JournalError, keyedAuth } from "../src/index.js";
import { StillClock } from "./append-support.js";
import { StubBroker } from "./support/stub-broker.js";

const everything = { include: [], exclude: [] };

function claimsOf(header: string | undefined): { cap: number; sel: unknown; exp: number; iat: number } {
  const token = header?.slice("Bearer ".length) ?? "";
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
}

async function tokens(act: (client: JournalClient) => Promise<unknown>, broker: StubBroker): Promise<void> {
  await using client = new JournalClient({ endpoints: broker.endpoint, auth: keyedAuth("c2VjcmV0") });
  await act(client);
}

describe("keyedAuth", () => {
  it("signs a web token of HS256 with the first key, whose claims are those that Gazette marshals", async () => {
    const clock = new StillClock();
    clock.now = 1_700_000_000_999;
    const auth = keyedAuth("c2VjcmV0, b3RoZXI=\n", { clock });
    const selector = {
      include: [
        { name: "hi", value: "there" },
        { name: "name", value: "a/", prefix: true },
      ],
      exclude: [{ name: "x", value: "" }],
    };
    const token = await auth.authorize(
      { capability: Capability.APPEND | Capability.LIST, selector },
      { expiresInMs: 3_600_000 },
    );
    const [header = "", claims = "", signature] = token.split(".");
    expect(Buffer.from(header, "base64url").toString()).toBe('{"alg":"HS256","typ":"JWT"}');
    expect(Buffer.from(claims, "base64url").toString()).toBe(
      '{"cap":18,"sel":{"include":{"labels":[{"name":"hi","value":"there"},{"name":"name","value":"a/","prefix":true}]},' +
        '"exclude":{"labels":[{"name":"x"}]}},"exp":1700003600,"iat":1700000000}',
    );
    expect(signature).toBe(createHmac("sha256", "secret").update(`${header}.${claims}`).digest("base64url"));
  });

  it("writes no labels as null, as Go does", async () => {
    const token = await keyedAuth("c2VjcmV0").authorize(
      { capability: Capability.APPLY, selector: everything },
      { expiresInMs: 60_000 },
    );
    expect(claimsOf(`Bearer ${token}`).sel).toEqual({ include: { labels: null }, exclude: { labels: null } });
  });

  it("skips the key that only tells brokers to let everybody in", async () => {
    const one = await keyedAuth("AA== c2VjcmV0", { clock: new StillClock() }).authorize(
      { capability: 8, selector: everything },
      { expiresInMs: 1000 },
    );
    const [header, claims, signature] = one.split(".");
    expect(signature).toBe(createHmac("sha256", "secret").update(`${header}.${claims}`).digest("base64url"));
  });

  it("refuses keys that are no base64, and having none", () => {
    for (const keys of ["", " ,, ", "AA==", "c2VjcmV0,not-base64!", "c2VjcmV", "c2VjcmV0=", "c2Vj cmV"]) {
      expect(() => keyedAuth(keys), keys).toThrow(
        expect.objectContaining({ name: "JournalError", code: "invalid-argument" }),
      );
    }
    expect(() => keyedAuth("c2VjcmV0,se*cret")).toThrow(/index 1/);
    expect(() => keyedAuth("c2VjcmV0,se*cret")).not.toThrow(/se\*cret/);
  });
});

describe("the least that a call needs", () => {
  it("is READ of the journal, without its ;meta, for an hour", async () => {
    await using broker = await StubBroker.start();
    broker.create("a/journal", "content");
    await tokens(async (client) => {
      for await (const _ of client.openRead({ journal: "a/journal;meta" })) break;
    }, broker);
    const claims = claimsOf(broker.reads[0]?.metadata.authorization);
    expect(claims).toMatchObject({
      cap: Capability.READ,
      sel: { include: { labels: [{ name: "name", value: "a/journal" }] }, exclude: { labels: null } },
    });
    expect(claims.exp - claims.iat).toBe(3600);
  });

  it("is APPEND of the journal", async () => {
    await using broker = await StubBroker.start();
    broker.create("a/journal");
    await tokens(async (client) => {
      await client.openAppend({ journal: "a/journal" }).commit();
    }, broker);
    expect(claimsOf(broker.appends[0]?.metadata.authorization)).toMatchObject({
      cap: Capability.APPEND,
      sel: { include: { labels: [{ name: "name", value: "a/journal" }] } },
    });
  });

  it("is LIST of what is listed", async () => {
    await using broker = await StubBroker.start();
    await tokens((client) => client.listAllJournals({ selector: "foo=bar" }), broker);
    expect(claimsOf(broker.lists[0]?.metadata.authorization)).toMatchObject({
      cap: Capability.LIST,
      sel: { include: { labels: [{ name: "foo", value: "bar" }] } },
    });
  });

  it("is APPLY of the journals that are changed, for a minute", async () => {
    await using broker = await StubBroker.start();
    broker.create("one/journal");
    broker.create("two/journal");
    await tokens(
      (client) =>
        client.applyJournals({
          changes: [
            { delete: "two/journal", expectModRevision: -1n },
            { delete: "one/journal", expectModRevision: -1n },
          ],
        }),
      broker,
    );
    const claims = claimsOf(broker.applies[0]?.metadata.authorization);
    expect(claims).toMatchObject({
      cap: Capability.APPLY,
      sel: {
        include: {
          labels: [
            { name: "name", value: "one/journal" },
            { name: "name", value: "two/journal" },
          ],
        },
      },
    });
    expect(claims.exp - claims.iat).toBe(60);
  });

  it("is READ of the journal to list its fragments, and of all journals to ask for a store's health", async () => {
    await using broker = await StubBroker.start();
    broker.create("a/journal");
    await tokens(async (client) => {
      await client.listAllFragments({ journal: "a/journal" });
      await client.checkFragmentStore("s3://bucket/prefix/");
    }, broker);
    expect(claimsOf(broker.fragmentLists[0]?.metadata.authorization)).toMatchObject({
      cap: Capability.READ,
      sel: { include: { labels: [{ name: "name", value: "a/journal" }] } },
    });
    expect(claimsOf(broker.healths[0]?.metadata.authorization)).toMatchObject({
      cap: Capability.READ,
      sel: { include: { labels: null } },
    });
  });
});

describe("bearerAuth", () => {
  it("sends a token, and asks a provider for one before each call", async () => {
    await using broker = await StubBroker.start();
    let asked = 0;
    for (const auth of [
      bearerAuth("a-token"),
      bearerAuth(() => Promise.resolve(`token-${++asked}`)),
      bearerAuth(() => `token-${++asked}`),
    ]) {
      await using client = new JournalClient({ endpoints: broker.endpoint, auth });
      await client.listAllJournals();
    }
    expect(broker.lists.map(({ metadata }) => metadata.authorization)).toEqual([
      "Bearer a-token",
      "Bearer token-1",
      "Bearer token-2",
    ]);
  });

  it("refuses tokens that fit no header", () => {
    for (const token of ["", "two words", "line\nbreak", "ünï"]) {
      expect(() => bearerAuth(token)).toThrow(JournalError);
    }
  });

  it("sends nothing when the provider fails, and says unauthenticated with its error as the cause", async () => {
    await using broker = await StubBroker.start();
    const cause = new Error("the vault is sealed");
    await using client = new JournalClient({
      endpoints: broker.endpoint,
      auth: bearerAuth(() => Promise.reject(cause)),
    });
    await expect(client.listAllJournals()).rejects.toMatchObject({
      code: "transport",
      grpcCode: 16,
      cause,
      message: expect.stringContaining("the vault is sealed"),
    });
    await using other = new JournalClient({ endpoints: broker.endpoint, auth: bearerAuth(() => "\n") });
    await expect(other.listAllJournals()).rejects.toMatchObject({ code: "invalid-argument" });
    expect(broker.lists).toEqual([]);
  });

  it("does not wait for a provider that hangs when the call is aborted", async () => {
    await using broker = await StubBroker.start();
    let seen: AbortSignal | undefined;
    await using client = new JournalClient({
      endpoints: broker.endpoint,
      auth: bearerAuth(({ signal }) => {
        seen = signal;
        return new Promise(() => {});
      }),
    });
    const controller = new AbortController();
    const listing = client.listAllJournals({}, { signal: controller.signal });
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(listing).rejects.toBe(reason);
    expect(seen?.aborted).toBe(true);
  });
});
