import { randomBytes } from "node:crypto";
import { readdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { difference } from "../src/faults/journal-recorder.js";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  goBuildTimeoutMs,
  presign,
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
  type Fragment,
  isMissing,
  type JournalClient,
  persisted,
  readToHead,
  withReads,
} from "./journal-support.js";

const BUCKET = "fragments";
const PART = 5_000;

expectKnownFailures();

describe.skipIf(isMissing("versitygw"))(
  "fragments that are gone from S3, or whose URLs have expired",
  { timeout: 120_000, concurrent: true },
  () => {
    let etcd: EtcdServer;
    let s3: VersitygwServer;
    let gazette: GazetteCluster;
    let client: JournalClient;
    beforeAll(async () => {
      await buildGoServer(etcdBuild);
      await buildGazette();
      await buildGoServer(versitygwBuild);
      etcd = await startEtcd();
      s3 = await startVersitygw();
      await s3.createBucket(BUCKET);
      gazette = await startGazette({ etcd, env: s3Environment(s3) });
      client = connect(gazette);
    }, 4 * goBuildTimeoutMs);
    afterAll(async () => {
      await client?.close();
      await gazette?.stop();
      await s3?.stop();
      await etcd?.stop();
    });

    /** A journal with four fragments in the store, which the broker knows are there, and with one that is not persisted behind them. */
    async function journalOf(name: string): Promise<{
      readonly journal: string;
      readonly parts: readonly [Buffer, Buffer, Buffer, Buffer];
      readonly whole: Buffer;
      /** Keys of the four, in their order. */
      readonly keys: readonly string[];
    }> {
      const journal = `stores/${name}`;
      await gazette.createJournal({ name: journal, stores: [s3Store(s3, BUCKET)], ...persisted });
      const parts = [0, 1, 2, 3].map(() => randomBytes(PART)) as [Buffer, Buffer, Buffer, Buffer];
      for (const content of parts) await client.append({ journal }, { content });
      const tail = Buffer.from("closes the last");
      await client.append({ journal }, { content: tail });
      await vi.waitFor(async () => {
        expect((await readToHead(client, { journal, doNotProxy: true })).direct).toBe(4 * PART);
      }, 30_000);
      const names = (await readdir(join(s3.bucketFolder(BUCKET), journal))).sort();
      expect(names).toHaveLength(4);
      return {
        journal,
        parts,
        whole: Buffer.concat([...parts, tail]),
        keys: names.map((each) => `/${BUCKET}/${journal}/${each}`),
      };
    }

    async function ask(method: "GET" | "PUT" | "DELETE", path: string, body?: Buffer): Promise<Buffer> {
      const response = await fetch(presign(s3, { method, path }), { method, ...(body && { body }) });
      expect(response.ok).toBe(true);
      return Buffer.from(await response.arrayBuffer());
    }

    /** The fragment at an offset, and a URL of it that is good for so long. */
    async function signed(
      journal: string,
      begin: number,
      signatureTtlMs: number,
    ): Promise<{ fragment: Fragment; url: string }> {
      const { fragments } = await client.listAllFragments({ journal, signatureTtlMs });
      const found = fragments.find(({ spec }) => spec.begin === BigInt(begin));
      if (found === undefined) throw new Error(`there is no fragment at ${begin}`);
      return { fragment: found.spec, url: found.signedUrl };
    }

    async function expectReadable(
      opening: { fragment: Fragment; url: string },
      content: Buffer,
    ): Promise<void> {
      const chunks: Uint8Array[] = [];
      for await (const chunk of await client.openFragmentUrl(opening)) chunks.push(chunk);
      expect(difference(Buffer.concat(chunks), content)).toBeUndefined();
    }

    /** A URL that was good, and is no more. */
    async function expiredUrl(journal: string, begin: number): Promise<string> {
      const opening = await signed(journal, begin, 1_000);
      await vi.waitFor(async () => {
        await expect(client.openFragmentUrl(opening)).rejects.toMatchObject({ code: "fragment-fetch" });
      }, 30_000);
      return opening.url;
    }

    it("one that is removed after its URL was told is not found, and the error holds no signature", async () => {
      const { journal, parts, keys } = await journalOf("not-found");
      const opening = await signed(journal, PART, 60_000);
      await expectReadable(opening, parts[1]);
      await ask("DELETE", keys[1] ?? "");
      const error = await client.openFragmentUrl(opening).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "fragment-not-found" });
      expect(opening.url).toMatch(/X-Amz-Signature=[0-9a-f]{64}/);
      expect(String(error)).not.toMatch(/X-Amz|[0-9a-f]{64}|harness-access/);
    });

    it("an expired URL is refused by the store, which the error says without its signature", async () => {
      const { journal, parts } = await journalOf("expired");
      const opening = await signed(journal, PART, 2_000);
      await expectReadable(opening, parts[1]);
      const error = await vi.waitFor(async () => {
        const reader = await client.openFragmentUrl(opening).catch((reason: unknown) => reason);
        expect(reader).toBeInstanceOf(Error);
        return reader;
      }, 30_000);
      expect(error).toMatchObject({ code: "fragment-fetch", message: expect.stringContaining("403") });
      expect(String(error)).not.toMatch(/X-Amz-Signature|X-Amz-Credential|[0-9a-f]{64}/);
    });

    it("a reader asks again for a URL that has expired, and reads directly by the next", async () => {
      const { journal, whole } = await journalOf("expired-once");
      const url = await expiredUrl(journal, PART);
      let replaced = 0;
      const other = withReads(client, (response) => {
        if (response.fragment?.begin !== BigInt(PART) || response.fragmentUrl === "") return response;
        return replaced++ === 0 ? { ...response, fragmentUrl: url } : response;
      });
      const read = await readToHead(other, { journal, doNotProxy: true });
      expect(difference(read.content, whole)).toBeUndefined();
      expect(read).toMatchObject({ jumps: [], direct: 4 * PART });
      expect(read.retries).toEqual([expect.objectContaining({ code: "fragment-fetch" })]);
    });

    it("the broker reads a fragment whose URLs expire again and again, and only that one", async () => {
      const { journal, whole } = await journalOf("expired-always");
      const url = await expiredUrl(journal, PART);
      const other = withReads(client, (response) =>
        response.fragment?.begin === BigInt(PART) && response.fragmentUrl !== ""
          ? { ...response, fragmentUrl: url }
          : response,
      );
      const read = await readToHead(other, { journal, doNotProxy: true });
      expect(difference(read.content, whole)).toBeUndefined();
      expect(read).toMatchObject({ jumps: [], direct: 3 * PART });
      const refused = expect.objectContaining({ code: "fragment-fetch" });
      expect(read.retries).toEqual([refused, refused, refused]);
    });

    it("a reader gets a fragment that is removed before it is fetched, and comes back", async () => {
      const { journal, keys, whole } = await journalOf("comes-back");
      const [, key = ""] = keys;
      const file = await ask("GET", key);
      let fetches = 0;
      const other = withReads(
        client,
        (response) => response,
        async () => {
          fetches++;
          if (fetches === 2) await ask("DELETE", key);
          if (fetches === 3) await ask("PUT", key, file);
        },
      );
      // It waits should the broker list the store while the fragment is not there.
      const request = { journal, doNotProxy: true, block: true, endOffset: BigInt(whole.length) };
      const read = await readToHead(other, request);
      expect(difference(read.content, whole)).toBeUndefined();
      expect(read).toMatchObject({ jumps: [], direct: 4 * PART });
      expect(read.retries).toEqual([expect.objectContaining({ code: "fragment-not-found" })]);
    });

    it("a reader is told which bytes are gone with a fragment that is removed before it is fetched, and gets all the others", async () => {
      const { journal, parts, keys, whole } = await journalOf("gone");
      // Brokers take a hole for one that stays only when what is behind it is six hours old.
      const longAgo = new Date(Date.now() - 7 * 3_600_000);
      for (const key of keys) {
        await utimes(join(s3.bucketFolder(BUCKET), key.slice(BUCKET.length + 2)), longAgo, longAgo);
      }
      await vi.waitFor(async () => {
        const { fragments } = await client.listAllFragments({ journal });
        const old = fragments.filter(
          ({ spec }) => spec.modTime > 0n && Number(spec.modTime) * 1000 <= longAgo.getTime(),
        );
        expect(old).toHaveLength(4);
      }, 30_000);
      let fetches = 0;
      const other = withReads(
        client,
        (response) => response,
        async () => {
          fetches++;
          if (fetches === 2) await ask("DELETE", keys[1] ?? "");
        },
      );
      const read = await readToHead(other, { journal, doNotProxy: true });
      expect(read.jumps).toEqual([[BigInt(PART), BigInt(2 * PART)]]);
      const rest = Buffer.concat([parts[0], whole.subarray(2 * PART)]);
      expect(difference(read.content, rest)).toBeUndefined();
      expect(read.direct).toBe(3 * PART);
      expect(read.retries[0]).toMatchObject({ code: "fragment-not-found" });
    });
  },
);
