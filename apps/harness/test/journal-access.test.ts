import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  gazettePeerBuild,
  goBuildTimeoutMs,
  makeCertificates,
  runGazettePeer,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import {
  bearerAuth,
  connect,
  isMissing,
  keyedAuth,
  noRoutes,
  readByGo,
  readToHead,
} from "./journal-support.js";

const authKeys = "c2VjcmV0LXRoYXQtc2lnbnM=,b3RoZXItc2VjcmV0";
const UNAVAILABLE = 14;
const bytes = (text: string): Buffer => Buffer.from(text);

expectKnownFailures();

describe.skipIf(isMissing())("the way to real brokers", { timeout: 120_000 }, () => {
  let etcd: EtcdServer;
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
    etcd = await startEtcd();
  }, 3 * goBuildTimeoutMs);
  afterAll(() => etcd?.stop());

  it("whoever signs with a broker's key may do everything, and Go with the same key", async (test) => {
    const gazette = await startGazette({ etcd, authKeys, test });
    const journal = "auth/keyed";
    await gazette.createJournal(journal);
    await using client = connect(gazette, { auth: keyedAuth(authKeys) });
    await client.append({ journal }, { content: bytes("here ") });
    await runGazettePeer(["append", "-journal", journal], { gazette, input: "there" });
    expect((await readToHead(client, journal)).content.toString()).toBe("here there");
    expect((await readByGo(gazette, journal)).toString()).toBe("here there");
    const [listed] = (await client.listAllJournals()).journals;
    await client.listAllFragments({ journal });
    expect(await client.checkFragmentStore("file:///")).toMatchObject({ status: "OK" });
    await client.applyJournals({
      changes: [{ expectModRevision: listed?.modRevision ?? 0n, delete: journal }],
    });
    expect((await client.listAllJournals()).journals).toEqual([]);
    // The second of the keys verifies too.
    await using second = connect(gazette, { auth: keyedAuth(authKeys.split(",")[1] ?? "") });
    expect((await second.listAllJournals()).journals).toEqual([]);
  });

  it("without a token, with a stranger's, with an old one or too small a one, nothing is done and the code says so", async (test) => {
    const gazette = await startGazette({ etcd, authKeys, test });
    const journal = "auth/guarded";
    await gazette.createJournals([journal, "auth/other"]);
    const may = (options: Parameters<typeof gazette.token>[0]) => ({
      auth: bearerAuth(gazette.token(options)),
    });
    const refused = {
      code: "transport",
      grpcCode: expect.toSatisfy((code: number) => code === 16 || code === 7, "unauthenticated or denied"),
    };
    const strangers = [
      {},
      { auth: keyedAuth("c3RyYW5nZXI=") },
      may({ validForSeconds: -60 }),
      may({ capabilities: ["LIST"] }),
    ];
    for (const options of strangers) {
      await using client = connect(gazette, options);
      await expect(client.append({ journal }, { content: bytes("never") })).rejects.toMatchObject(refused);
      await expect(client.reader({ journal }).read()).rejects.toMatchObject(refused);
      await expect(client.listAllFragments({ journal })).rejects.toMatchObject(refused);
      await expect(
        client.applyJournals({ changes: [{ expectModRevision: -1n, delete: journal }] }),
      ).rejects.toMatchObject(refused);
      const tries: unknown[] = [];
      const retrying = client.retryReader({ journal }, { onRetry: ({ error }) => tries.push(error) });
      await expect(retrying.read()).rejects.toMatchObject(refused);
      expect(tries).toHaveLength(3);
    }
    await using reading = connect(gazette, may({ capabilities: ["READ"] }));
    await expect(reading.append({ journal }, { content: bytes("never") })).rejects.toMatchObject(refused);
    await expect(reading.listAllJournals()).rejects.toMatchObject(refused);
    expect((await readToHead(reading, journal)).content).toHaveLength(0);
    // A token for some journals: the others are not there.
    await using narrow = connect(gazette, may({ include: [{ name: "name", value: "auth/other" }] }));
    expect((await narrow.listAllJournals()).journals.map(({ spec }) => spec.name)).toEqual(["auth/other"]);
    await narrow.append({ journal: "auth/other" }, { content: bytes("mine") });
    await expect(narrow.reader({ journal }).read()).rejects.toMatchObject({ code: "journal-not-found" });
  });

  it("a watch whose tokens expire goes on with the next ones, which a provider gives", async (test) => {
    const gazette = await startGazette({ etcd, authKeys, test });
    const token = vi.fn(() => gazette.token({ capabilities: ["LIST"], validForSeconds: 2 }));
    await using client = connect(gazette, { auth: bearerAuth(token) });
    await using list = client.watchList({ selector: "prefix=auth/" });
    await vi.waitFor(() => expect(token.mock.calls.length).toBeGreaterThan(2), { timeout: 60_000 });
    await gazette.createJournal("auth/watched");
    for await (const { journals } of list) if (journals.length === 1) break;
    expect(list.list()?.journals[0]?.spec.name).toBe("auth/watched");
  });

  it("Unix sockets work as ports do, in routes too", async (test) => {
    const gazette = await startGazette({ etcd, listen: "unix", brokers: 2, test });
    const journal = "socket/journal";
    await gazette.createJournal({ name: journal, replication: 1 });
    const primary = await gazette.primaryOf(journal);
    for (const broker of gazette.brokers) {
      await using client = connect(broker);
      const name = broker.processId.suffix;
      await client.append({ journal }, { content: bytes(`${name}\n`) });
      expect((await readToHead(client, journal)).content.toString()).toContain(`${name}\n`);
      expect(client.route(journal).endpoints).toEqual([primary.endpoint]);
      // Straight to the primary now, although it did not serve at the endpoint that was given.
      const reader = client.reader({ journal, doNotProxy: true });
      await reader.read();
      expect(reader.response?.status).toBe("OK");
      await reader.close();
    }
    expect((await readByGo(gazette, journal)).toString().split("\n")).toHaveLength(3);
    await using hostless = connect({ endpoint: `unix://${primary.socketPath}` });
    expect((await readToHead(hostless, journal)).content).toEqual(await readByGo(gazette, journal));
  });

  it.each([false, true])(
    "TLS is trusted as told, with client certificates: %s",
    async (clientCertificates) => {
      const folder = await mkdtemp(join(tmpdir(), "x-harness-test-"));
      try {
        const tls = { ...(await makeCertificates(folder)), clientCertificates };
        await using gazette = await startGazette({ etcd, tls, brokers: 2 });
        const journal = "tls/journal";
        await gazette.createJournal({ name: journal, replication: 1 });
        const [ca, cert, key] = [tls.caFile, tls.certFile, tls.keyFile].map((path) => readFileSync(path));
        const trusting = clientCertificates
          ? credentials.createSsl(ca, key, cert)
          : credentials.createSsl(ca);
        for (const broker of gazette.brokers) {
          await using client = connect(broker, { credentials: trusting });
          await client.append({ journal }, { content: bytes("x") });
        }
        expect((await readByGo(gazette, journal)).toString()).toBe("xx");
        const strangers = [{}, ...(clientCertificates ? [{ credentials: credentials.createSsl(ca) }] : [])];
        for (const options of strangers) {
          await using stranger = connect(gazette, options);
          await expect(stranger.reader({ journal }).read()).rejects.toMatchObject({
            code: "transport",
            grpcCode: UNAVAILABLE,
          });
        }
        await using plain = connect({ endpoint: gazette.endpoint.replace("https:", "http:") });
        await expect(plain.reader({ journal }).read()).rejects.toMatchObject({ code: "transport" });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );

  it("reads go to a broker of the own zone, and appends to the primary wherever that is", async (test) => {
    const gazette = await startGazette({ etcd, brokers: 3, zones: ["here", "there", "beyond"], test });
    const journal = "zones/journal";
    await gazette.createJournal({ name: journal, replication: 3 });
    const primary = await gazette.primaryOf(journal);
    for (const zone of ["here", "there", "beyond"]) {
      await using client = connect(gazette, { zone });
      const { header } = await client.append({ journal }, { content: bytes("x") });
      expect(header.processId).toEqual(primary.processId);
      for (let again = 0; again < 3; again++) {
        const reader = client.reader({ journal });
        await reader.read();
        expect(reader.response?.content ?? reader.response?.fragment).toBeDefined();
        await reader.close();
        const metadata = client.reader({ journal, metadataOnly: true });
        await metadata.read();
        expect(metadata.response?.header?.processId.zone).toBe(zone);
      }
      const second = await client.append({ journal }, { content: bytes("y") });
      expect(second.header.processId).toEqual(primary.processId);
    }
    // Without a memory of routes it stays where it is.
    await using still = connect(gazette, { zone: "there", routes: noRoutes });
    for (let again = 0; again < 2; again++) {
      const metadata = still.reader({ journal, metadataOnly: true });
      await metadata.read();
      expect(metadata.response?.header?.processId).toEqual(gazette.brokers[0]?.processId);
    }
    expect((await readByGo(gazette, journal)).toString()).toBe("xyxyxy");
  });

  it("of several endpoints one that serves is found, however many do not", async (test) => {
    const gazette = await startGazette({ etcd, test });
    await gazette.createJournal("found/journal");
    const endpoints = ["http://127.0.0.1:1", "unix:///nowhere/at/all.sock", gazette.endpoint];
    await using client = connect(gazette, { endpoints });
    await client.append({ journal: "found/journal" }, { content: bytes("found") });
    expect((await readByGo(gazette, "found/journal")).toString()).toBe("found");
    await using nobody = connect(gazette, { endpoints: endpoints.slice(0, 2) });
    await expect(nobody.reader({ journal: "found/journal" }).read()).rejects.toMatchObject({
      code: "transport",
      grpcCode: UNAVAILABLE,
    });
  });
});
