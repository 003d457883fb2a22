import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { difference } from "../src/faults/journal-recorder.js";
import {
  askGazettePeer,
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  runGazettePeer,
  s3Environment,
  s3Store,
  startEtcd,
  startGazette,
  startVersitygw,
  type VersitygwServer,
  versitygwBuild,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import {
  connect,
  isMissing,
  type JournalClient,
  noRoutes,
  persisted,
  readByGazctl,
  readByGo,
  readToHead,
} from "./journal-support.js";

const KIB64 = 65_536;
const sizes = [0, 1, KIB64 - 1, KIB64, KIB64 + 1, 3_000_001];

/** Half of it compresses. */
const mixed = (size: number): Buffer =>
  Buffer.concat([randomBytes(size >> 1), Buffer.alloc(size - (size >> 1), "compressible ")]);

expectKnownFailures();

describe.skipIf(isMissing())(
  "journals between this client, the Go client and gazctl",
  { timeout: 120_000 },
  () => {
    let etcd: EtcdServer;
    let gazette: GazetteCluster;
    let client: JournalClient;
    beforeAll(async () => {
      await buildGoServer(etcdBuild);
      await buildGazette();
      await buildGoServer(gazettePeerBuild);
      etcd = await startEtcd();
      gazette = await startGazette({ etcd });
    }, 3 * goBuildTimeoutMs);
    afterAll(async () => {
      await gazette?.stop();
      await etcd?.stop();
    });
    beforeEach(() => {
      client = connect(gazette);
    });
    afterEach(() => client.close());

    const writers: Record<string, (journal: string, content: Buffer) => Promise<unknown>> = {
      "append()": (journal, content) => client.append({ journal }, { content }),
      "an Appender": async (journal, content) => {
        await using appender = client.appender({ journal });
        for (let at = 0; at < content.length; at += 10_007)
          await appender.write(content.subarray(at, at + 10_007));
        await appender.commit();
      },
      "an AppendService": async (journal, content) => {
        await using service = client.appendService();
        const append = service.startAppend({ journal });
        append.writer.write(content);
        append.release();
        expect(await append.err()).toBeUndefined();
      },
      "the Go client": (journal, content) =>
        runGazettePeer(["append", "-journal", journal], { gazette, input: content }),
      gazctl: (journal, content) =>
        content.length === 0 // it waits for a first byte
          ? Promise.resolve()
          : gazette.gazctl(["journals", "append", "-l", `name=${journal}`], { input: content }),
    };

    it.each(Object.keys(writers))("what %s appends, all read byte for byte", async (writer) => {
      const journal = `interop/by-${writer.toLowerCase().replaceAll(/[^a-z]+/g, "-")}x`;
      await gazette.createJournal(journal);
      const parts = sizes.map(mixed);
      for (const part of parts) await writers[writer]?.(journal, part);
      const expected = Buffer.concat(parts);
      const ours = await readToHead(client, journal);
      expect(difference(ours.content, expected)).toBeUndefined();
      expect(ours).toMatchObject({ jumps: [], retries: [] });
      expect(difference(await readByGo(gazette, journal), expected)).toBeUndefined();
      expect(difference(await readByGazctl(gazette, journal), expected)).toBeUndefined();
    });

    it("an append of nothing is a barrier, which tells the write head, here as in Go", async () => {
      const journal = "interop/barrier";
      await gazette.createJournal(journal);
      await client.append({ journal }, { content: [Buffer.from("12"), Buffer.from("345")] });
      const { commit } = await client.append({ journal }, {});
      expect(commit).toMatchObject({ journal, begin: 5n, end: 5n });
      expect(await askGazettePeer(["append", "-journal", journal], { gazette })).toMatchObject([
        { begin: 5, end: 5 },
      ]);
    });

    it("a part of a journal is the same part for all", async () => {
      const journal = "interop/part";
      await gazette.createJournal(journal);
      const content = randomBytes(300_000);
      await client.append({ journal }, { content });
      for (const [begin, end] of [
        [0, 1],
        [1, KIB64],
        [KIB64 - 1, KIB64 + 1],
        [299_999, 300_000],
      ] as const) {
        const expected = content.subarray(begin, end);
        const request = { journal, offset: BigInt(begin), endOffset: BigInt(end) };
        expect(difference((await readToHead(client, request)).content, expected)).toBeUndefined();
        const go = await readByGo(gazette, journal, "-offset", `${begin}`, "-end", `${end}`);
        expect(difference(go, expected)).toBeUndefined();
      }
    });

    it("a reader that waits at the write head gets what the Go client appends", async () => {
      const journal = "interop/blocked";
      await gazette.createJournal(journal);
      await client.append({ journal }, { content: Buffer.from("before") });
      const reader = client.retryReader({ journal, offset: 3n, block: true });
      expect(Buffer.from((await reader.read()) ?? []).toString()).toBe("ore");
      const waiting = reader.read();
      await runGazettePeer(["append", "-journal", journal], { gazette, input: "after" });
      expect(Buffer.from((await waiting) ?? []).toString()).toBe("after");
      const { content } = await readToHead(client, { journal, offset: -1n });
      expect([content.length, reader.offset]).toEqual([0, 11n]);
      await reader.close();
    });

    it.each(["NONE", "GZIP", "SNAPPY", "ZSTANDARD"] as const)(
      "fragments of %s are read directly from their files, as Go reads them, and through the broker when that is not allowed",
      async (codec) => {
        const journal = `interop/direct-${codec.toLowerCase()}`;
        await gazette.createJournal({ name: journal, codec, ...persisted });
        const parts = [mixed(1024), mixed(KIB64 + 1), mixed(1_000_003)];
        await runGazettePeer(["append", "-journal", journal], { gazette, input: parts[0] });
        for (const content of parts.slice(1)) await client.append({ journal }, { content });
        const tail = Buffer.from("tail");
        await client.append({ journal }, { content: tail });
        const whole = Buffer.concat([...parts, tail]);
        const request = { journal, doNotProxy: true };

        const remove = client.installFileTransport(gazette.fileRoot);
        await vi.waitFor(async () => {
          const ours = await readToHead(client, request);
          expect(difference(ours.content, whole)).toBeUndefined();
          expect(ours).toMatchObject({ direct: whole.length - tail.length, jumps: [], retries: [] });
        }, 30_000);
        expect(readdirSync(join(gazette.fileRoot, journal))).toHaveLength(parts.length);
        const go = await readByGo(gazette, journal, "-direct", "-file-root", gazette.fileRoot);
        expect(difference(go, whole)).toBeUndefined();

        // From the middle of a fragment, and to the middle of the next one.
        const inside = { ...request, offset: 2_000n, endOffset: 500_000n };
        const middle = await readToHead(client, inside);
        expect(difference(middle.content, whole.subarray(2_000, 500_000))).toBeUndefined();
        expect(middle.direct).toBeGreaterThan(0);
        expect(middle.retries).toEqual([]);

        // The same into one buffer, the tail through the broker.
        const into = client.retryReader({ ...request, endOffset: BigInt(whole.length) });
        const target = Buffer.alloc(70_000);
        const got: Buffer[] = [];
        for (;;) {
          const count = await into.readInto(target);
          if (count === 0) break;
          got.push(Buffer.from(target.subarray(0, count)));
        }
        await into.close();
        expect(difference(Buffer.concat(got), whole)).toBeUndefined();

        // Without the transport the URLs are refused, and the broker has to do it.
        remove();
        const proxied = await readToHead(client, request);
        expect(difference(proxied.content, whole)).toBeUndefined();
        expect(proxied.direct).toBe(0);
        expect(proxied.retries).toContainEqual(expect.objectContaining({ code: "url-refused" }));
      },
    );

    it("a directly read fragment comes to its end though the broker stands still", async () => {
      const journal = "interop/still";
      await using own = await startGazette({ etcd, leaseSeconds: 60 });
      await own.createJournal({ name: journal, codec: "GZIP", ...persisted });
      await using reading = connect(own);
      const content = randomBytes(2_000_000);
      await reading.append({ journal }, { content });
      await reading.append({ journal }, { content: Buffer.from("closes it") });
      reading.installFileTransport(own.fileRoot);
      await vi.waitFor(async () => {
        expect((await readToHead(reading, { journal, doNotProxy: true })).direct).toBe(content.length);
      }, 30_000);
      const reader = reading.reader({ journal, doNotProxy: true });
      const chunks = [await reader.read()];
      expect(reader.direct).toBe(true);
      await own.brokers[0]?.kill("SIGSTOP");
      for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read())
        chunks.push(chunk);
      expect(
        difference(Buffer.concat(chunks.map((chunk) => chunk ?? Buffer.alloc(0))), content),
      ).toBeUndefined();
      await own.brokers[0]?.kill("SIGCONT");
    });

    it("a broker that has no part of a journal passes reads and appends on", async () => {
      await using cluster = await startGazette({ etcd, brokers: 3 });
      const journal = "interop/proxied";
      await cluster.createJournal({ name: journal, replication: 1 });
      const primary = await cluster.primaryOf(journal);
      const other = cluster.brokers.find((broker) => broker !== primary) ?? primary;
      await using proxied = connect(other, { routes: noRoutes });
      const content = mixed(3_000_001);
      expect(await proxied.append({ journal }, { content })).toMatchObject({ status: "OK" });
      expect(difference((await readToHead(proxied, journal)).content, content)).toBeUndefined();
      // That the broker has no part of it: without leave to proxy it sends its callers away.
      const strict = proxied.reader({ journal, doNotProxy: true });
      await expect(strict.read()).rejects.toMatchObject({ code: "not-journal-broker" });
      expect(strict.response?.header?.route.members).toEqual([primary.processId]);
      // And with a cache of routes, that answer is followed.
      await using following = connect(other);
      expect(
        difference((await readToHead(following, { journal, doNotProxy: true })).content, content),
      ).toBeUndefined();
      expect(following.route(journal).endpoints).toEqual([primary.endpoint]);
    });
  },
);

describe.skipIf(isMissing("versitygw"))("fragments in a store of S3", { timeout: 120_000 }, () => {
  let etcd: EtcdServer;
  let s3: VersitygwServer;
  let gazette: GazetteCluster;
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
    await buildGoServer(versitygwBuild);
    etcd = await startEtcd();
    s3 = await startVersitygw();
    await s3.createBucket("fragments");
    gazette = await startGazette({ etcd, env: s3Environment(s3) });
  }, 4 * goBuildTimeoutMs);
  afterAll(async () => {
    await gazette?.stop();
    await s3?.stop();
    await etcd?.stop();
  });

  it.each(["NONE", "GZIP", "SNAPPY", "ZSTANDARD", "GZIP_OFFLOAD_DECOMPRESSION"] as const)(
    "are read by signed URLs, as Go reads them: %s",
    async (codec) => {
      const journal = `s3/${codec.toLowerCase()}`;
      const stores = [s3Store(s3, "fragments", "some/prefix/")];
      await gazette.createJournal({ name: journal, codec, stores, ...persisted });
      await using client = connect(gazette);
      const parts = [mixed(1024), mixed(KIB64 + 1), mixed(1_000_003)];
      for (const content of parts) await client.append({ journal }, { content });
      const tail = Buffer.from("tail");
      await client.append({ journal }, { content: tail });
      const whole = Buffer.concat([...parts, tail]);
      await vi.waitFor(async () => {
        const ours = await readToHead(client, { journal, doNotProxy: true });
        expect(difference(ours.content, whole)).toBeUndefined();
        expect(ours).toMatchObject({ direct: whole.length - tail.length, jumps: [], retries: [] });
      }, 30_000);
      expect(difference(await readByGo(gazette, journal, "-direct"), whole)).toBeUndefined();
      expect(difference((await readToHead(client, journal)).content, whole)).toBeUndefined();
      const { fragments } = await client.listAllFragments({ journal, signatureTtlMs: 60_000 });
      const urls = fragments.map(({ signedUrl }) => signedUrl).filter((url) => url !== "");
      expect(urls).toHaveLength(parts.length);
      expect(urls.every((url) => url.startsWith(`${s3.endpoint}/fragments/some/prefix/${journal}/`))).toBe(
        true,
      );
    },
  );
});
