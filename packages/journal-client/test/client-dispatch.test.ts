import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { membersOf, rankDefaults, rankMembers } from "../src/client/dispatch.js";
import { JournalClient, JournalError, type Route, RouteCache } from "../src/index.js";
import { StubBroker } from "./support/stub-broker.js";

const unknown = { promising: true, ready: false };
const ready = { promising: true, ready: true };
const failed = { promising: false, ready: false };

const route: Route = {
  members: [
    { zone: "local", suffix: "other" },
    { zone: "local", suffix: "replica" },
    { zone: "remote", suffix: "primary" },
  ],
  primary: 2,
  endpoints: ["http://other:1", "http://replica:1", "http://primary:1"],
};

describe("the members that a call may go to", () => {
  it("are all, or the primary when it is wanted and known", () => {
    expect(membersOf(route, false).map(({ endpoint }) => endpoint)).toEqual(route.endpoints);
    expect(membersOf(route, true).map(({ endpoint }) => endpoint)).toEqual(["http://primary:1"]);
    expect(membersOf({ ...route, primary: -1 }, true)).toHaveLength(3);
    expect(membersOf({ ...route, endpoints: [] }, false)).toEqual([]);
  });

  it("are those of the same zone first, then those that are connected", () => {
    const members = membersOf(route, false);
    const rank = (states: Record<string, typeof ready>, zone: string | undefined) =>
      rankMembers(members, zone, ({ endpoint }) => states[endpoint] ?? unknown).map(
        ({ endpoint }) => endpoint,
      );
    expect(rank({ "http://primary:1": ready }, "local")).toEqual([
      "http://other:1",
      "http://replica:1",
      "http://primary:1",
    ]);
    expect(rank({ "http://replica:1": ready }, "local")[0]).toBe("http://replica:1");
    expect(rank({ "http://primary:1": ready }, "nowhere")[0]).toBe("http://primary:1");
    expect(rank({ "http://primary:1": ready }, undefined)[0]).toBe("http://primary:1");
    expect(rank({ "http://other:1": failed, "http://replica:1": failed }, "local")).toEqual([
      "http://primary:1",
    ]);
  });

  it("never hold a failed one, and never put a farther one before a nearer", () => {
    const member = fc.record({
      zone: fc.constantFrom("a", "b"),
      endpoint: fc.string(),
      state: fc.constantFrom(ready, unknown, failed),
    });
    fc.assert(
      fc.property(fc.array(member), (members) => {
        const ranked = rankMembers(members, "a", ({ state }) => state);
        expect(new Set(ranked)).toEqual(new Set(members.filter(({ state }) => state !== failed)));
        const cost = ({ zone, state }: (typeof members)[number]) =>
          (zone === "a" ? 0 : 2) + (state.ready ? 0 : 1);
        expect(ranked.map(cost)).toEqual(ranked.map(cost).sort((a, b) => a - b));
      }),
    );
  });
});

describe("default endpoints", () => {
  it("are tried in their order, those that are connected first and those that failed last", () => {
    const states = { a: failed, b: unknown, c: unknown, d: ready };
    expect(rankDefaults(["a", "b", "c", "d"] as const, (name) => states[name])).toEqual(["d", "b", "c", "a"]);
  });
});

/** Two brokers in two zones; both know the journal. */
async function twoZones(): Promise<{ a: StubBroker; b: StubBroker; route: Route } & AsyncDisposable> {
  const a = await StubBroker.start({ zone: "zone-a", suffix: "first" });
  const b = await StubBroker.start({ zone: "zone-b", suffix: "second" });
  for (const broker of [a, b]) broker.create("a/journal", "content");
  return {
    a,
    b,
    route: { members: [a.id, b.id], primary: 0, endpoints: [a.endpoint, b.endpoint] },
    [Symbol.asyncDispose]: async () => {
      await a.stop();
      await b.stop();
    },
  };
}

async function readAll(client: JournalClient, options: { readonly route?: Route } = {}): Promise<string> {
  let content = "";
  for await (const response of client.openRead({ journal: "a/journal" }, options)) {
    if (response.content !== undefined) content += Buffer.from(response.content).toString();
  }
  return content;
}

describe("a client", () => {
  it("reads from a broker of its own zone when it knows the route", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.a.endpoint, zone: "zone-b" });
    expect(await readAll(client)).toBe("content");
    client.updateRoute("a/journal", cluster.route);
    expect(await readAll(client)).toBe("content");
    expect([cluster.a.reads.length, cluster.b.reads.length]).toEqual([1, 1]);
  });

  it("appends at the primary, wherever that is", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.b.endpoint, zone: "zone-b" });
    client.updateRoute("a/journal", cluster.route);
    await client.openAppend({ journal: "a/journal" }).commit();
    expect([cluster.a.appends.length, cluster.b.appends.length]).toEqual([1, 0]);
  });

  it("goes where it is told to, rather than where the known route leads", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.a.endpoint, zone: "zone-a" });
    client.updateRoute("a/journal", cluster.route);
    const only: Route = { members: [cluster.b.id], primary: -1, endpoints: [cluster.b.endpoint] };
    await readAll(client, { route: only });
    expect([cluster.a.reads.length, cluster.b.reads.length]).toEqual([0, 1]);
  });

  it("goes on to another member when the best one is gone, without failing the call", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.b.endpoint, zone: "zone-a" });
    client.updateRoute("a/journal", cluster.route);
    await cluster.a.stop();
    expect(await readAll(client)).toBe("content");
    expect(client.route("a/journal").members).toHaveLength(2);
  });

  it("asks a default endpoint and forgets the route when its only member is gone", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.b.endpoint });
    client.updateRoute("a/journal", cluster.route);
    await cluster.a.stop();
    await client.openAppend({ journal: "a/journal" }).commit();
    expect(cluster.b.appends).toHaveLength(1);
    expect(client.route("a/journal").members).toEqual([]);
  });

  it("forgets a route when a call to its broker ends unavailable, and not for other failures", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.a.endpoint, zone: "zone-a" });
    for (const [code, known] of [
      [13, 2],
      [14, 0],
    ] as const) {
      client.updateRoute("a/journal", cluster.route);
      cluster.a.onRead(({ grpc }) => grpc.finish(code, "because"));
      await expect(readAll(client)).rejects.toMatchObject({ code: "transport", grpcCode: code });
      expect(client.route("a/journal").members).toHaveLength(known);
    }
  });

  it("skips members whose endpoint it cannot dial", async () => {
    await using cluster = await twoZones();
    await using client = new JournalClient({ endpoints: cluster.a.endpoint });
    client.updateRoute("a/journal", { members: [cluster.b.id], primary: 0, endpoints: ["quic://b:1"] });
    expect(await readAll(client)).toBe("content");
  });

  it("shares a route cache with another client", async () => {
    await using cluster = await twoZones();
    const routes = new RouteCache({ size: 10, ttlMs: 60_000 });
    await using one = new JournalClient({ endpoints: cluster.a.endpoint, routes });
    await using two = new JournalClient({ endpoints: cluster.a.endpoint, routes });
    await one.listAllJournals();
    expect(two.route("a/journal").endpoints).toEqual([cluster.a.endpoint]);
    expect(two.isNoopRouter).toBe(false);
  });
});

describe("several default endpoints", () => {
  it("fail no call while one of them is up, and go on with it", async () => {
    await using dead = await StubBroker.start();
    await using alive = await StubBroker.start();
    alive.create("a/journal", "content");
    await dead.stop();
    await using client = new JournalClient({ endpoints: [dead.endpoint, alive.endpoint] });
    expect(await readAll(client)).toBe("content");
    expect((await client.fragmentStoreHealth("s3://bucket/")).status).toBe("OK");
  });

  it("are left for the next one when the one in use goes away", async () => {
    await using one = await StubBroker.start();
    await using two = await StubBroker.start();
    for (const broker of [one, two]) broker.create("a/journal", "content");
    await using client = new JournalClient({
      endpoints: [one.endpoint, two.endpoint],
      routes: { size: 1, ttlMs: 1 },
    });
    await client.fragmentStoreHealth("s3://bucket/");
    expect(one.healths).toHaveLength(1);
    await one.stop();
    // The client may not have seen yet that the connection is gone: a call that was sent is not sent again.
    await client.fragmentStoreHealth("s3://bucket/").catch(() => {});
    await client.fragmentStoreHealth("s3://bucket/");
    expect(two.healths.length).toBeGreaterThan(0);
    expect(one.healths).toHaveLength(1);
  });

  it("fail a call at once when all are down, naming the endpoint and the reason", async () => {
    await using one = await StubBroker.start();
    await using two = await StubBroker.start();
    await one.stop();
    await two.stop();
    await using client = new JournalClient({ endpoints: [one.endpoint, two.endpoint] });
    const error = await readAll(client).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(JournalError);
    expect(error).toMatchObject({
      code: "transport",
      grpcCode: 14,
      journal: "a/journal",
      message: expect.stringMatching(new RegExp(`${two.endpoint}.*ECONNREFUSED`)),
    });
  });

  it("are waited for by listings and apply, which tell so once", async () => {
    const gone = await StubBroker.start();
    const { port } = gone;
    await gone.stop();
    let told: (endpoints: readonly string[]) => void = () => {};
    const noBroker = new Promise<readonly string[]>((resolve) => {
      told = resolve;
    });
    await using client = new JournalClient({
      endpoints: gone.endpoint,
      onEvent: ({ endpoints }) => told(endpoints),
    });
    const listing = client.listAllJournals();
    const applying = client.applyJournals({ changes: [] });
    expect(await noBroker).toEqual([gone.endpoint]);
    await using back = await StubBroker.start({ port });
    back.create("a/journal");
    expect((await listing).journals.map(({ spec }) => spec.name)).toEqual(["a/journal"]);
    expect((await applying).status).toBe("OK");
  });

  it("are waited for by nobody who gave up between the authorization and the connection", async () => {
    const gone = await StubBroker.start();
    await gone.stop();
    /** A client whose call is ended so many turns after its token was asked for. */
    const ended = (turns: number, end: (client: JournalClient) => void): JournalClient => {
      const client: JournalClient = new JournalClient({
        endpoints: gone.endpoint,
        auth: {
          authorize: () => {
            void (async () => {
              for (let turn = 0; turn < turns; turn++) await undefined;
              end(client);
            })();
            return Promise.resolve("token");
          },
        },
      });
      return client;
    };
    const reason = new Error("enough");
    for (let turns = 0; turns < 16; turns++) {
      for (const call of [
        (client: JournalClient, signal?: AbortSignal) =>
          client.listAllJournals({}, { ...(signal && { signal }) }),
        (client: JournalClient, signal?: AbortSignal) =>
          client.applyJournals({ changes: [] }, { ...(signal && { signal }) }),
      ]) {
        const controller = new AbortController();
        const aborted = ended(turns, () => controller.abort(reason));
        await expect(call(aborted, controller.signal)).rejects.toBe(reason);
        await aborted.close();

        let closing: Promise<void> | undefined;
        const closed = ended(turns, (client) => {
          closing = client.close();
        });
        await expect(call(closed)).rejects.toMatchObject({ code: "closed" });
        await closing;
      }
    }
  });

  it("are waited for until the signal", async () => {
    const gone = await StubBroker.start();
    await gone.stop();
    const controller = new AbortController();
    const reason = new Error("enough");
    await using client = new JournalClient({
      endpoints: gone.endpoint,
      onEvent: () => controller.abort(reason),
    });
    await expect(client.listAllJournals({}, { signal: controller.signal })).rejects.toBe(reason);
  });
});
