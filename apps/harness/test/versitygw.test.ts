import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  askGazettePeer,
  buildGazette,
  buildGoServer,
  etcdBuild,
  gazettePeerBuild,
  goBuildTimeoutMs,
  presign,
  requireServer,
  runGazettePeer,
  s3Environment,
  s3Store,
  startEtcd,
  startGazette,
  startVersitygw,
  type VersitygwServer,
  versitygwBuild,
} from "../src/servers/index.js";
import { isGone } from "./processes.js";

const missing = !requireServer("versitygw");
const gazetteMissing = !requireServer("etcd") || !requireServer("gazette") || !requireServer("gazette-peer");

describe.skipIf(missing)("a real versitygw", { timeout: 120_000 }, () => {
  let s3: VersitygwServer;
  beforeAll(async () => {
    await buildGoServer(versitygwBuild);
    s3 = await startVersitygw();
  }, goBuildTimeoutMs);
  afterAll(() => s3?.stop());

  it("stores an object, and gives it back to those who may have it", async () => {
    await s3.createBucket("objects");
    await expect(s3.createBucket("objects")).rejects.toMatchObject({ code: "request-failed" });
    const content = randomBytes(100_000);
    const path = "/objects/some folder/an (object)!";
    const put = await fetch(presign(s3, { method: "PUT", path }), { method: "PUT", body: content });
    expect([put.status, await put.text()]).toEqual([200, ""]);
    const got = await fetch(presign(s3, { method: "GET", path }));
    expect(Buffer.from(await got.arrayBuffer()).equals(content)).toBe(true);
    const file = join(s3.bucketFolder("objects"), "some folder", "an (object)!");
    expect(readFileSync(file).equals(content)).toBe(true);
    expect((await fetch(`${s3.endpoint}${path}`)).status).toBe(403);
    const stranger = {
      ...{ endpoint: s3.endpoint, accessKey: s3.accessKey, region: s3.region },
      secretKey: "no",
    };
    expect((await fetch(presign(stranger, { method: "GET", path }))).status).toBe(403);
  });

  it("keeps its objects over SIGKILL, loses them in a wipe, and leaves no process behind", async () => {
    await using own = await startVersitygw();
    await own.createBucket("kept");
    const put = presign(own, { method: "PUT", path: "/kept/key" });
    expect((await fetch(put, { method: "PUT", body: "content" })).status).toBe(200);
    await own.kill("SIGKILL");
    await own.restart();
    const get = (): Promise<Response> => fetch(presign(own, { method: "GET", path: "/kept/key" }));
    expect(await (await get()).text()).toBe("content");
    await own.wipe();
    expect((await get()).status).toBe(404);
    await own.stop();
    expect(isGone(own.pid)).toBe(true);
  });

  describe.skipIf(gazetteMissing)("as a fragment store of Gazette", () => {
    beforeAll(async () => {
      await buildGoServer(etcdBuild);
      await buildGazette();
      await buildGoServer(gazettePeerBuild);
    }, 3 * goBuildTimeoutMs);

    it.each(["GZIP", "GZIP_OFFLOAD_DECOMPRESSION"] as const)(
      "has fragments of %s, by URLs that are signed",
      async (codec) => {
        await using etcd = await startEtcd();
        await using gazette = await startGazette({ etcd, env: s3Environment(s3) });
        const bucket = `fragments-${codec.toLowerCase().replaceAll("_", "-")}`;
        await s3.createBucket(bucket);
        const stores = [s3Store(s3, bucket, "some/prefix/")];
        await gazette.createJournal({
          name: "test/s3",
          codec,
          fragmentBytes: 1024,
          refreshSeconds: 1,
          stores,
        });
        const content = randomBytes(2_000);
        await runGazettePeer(["append", "-journal", "test/s3"], { gazette, input: content });
        await runGazettePeer(["append", "-journal", "test/s3"], { gazette, input: "tail" });
        const folder = join(s3.bucketFolder(bucket), "some", "prefix", "test", "s3");
        await vi.waitFor(() => expect(readdirSync(folder)).toHaveLength(1), 20_000);
        const list = ["journals", "fragments", "-l", "name=test/s3", "--format=json", "--url-ttl=1m"];
        const url = await vi.waitFor(async () => {
          const { stdout } = await gazette.gazctl(list);
          const signed = /"(http:[^"]+)"/.exec(stdout.toString())?.[1];
          if (signed === undefined) throw new Error(`no URL in ${stdout}`);
          return JSON.parse(`"${signed}"`) as string;
        }, 20_000);
        expect(url.startsWith(`${s3.endpoint}/${bucket}/some/prefix/test/s3/`)).toBe(true);
        const response = await fetch(url);
        expect(response.status).toBe(200);
        expect(response.headers.get("content-encoding")).toBe(codec === "GZIP" ? null : "gzip");
        const read = ["read", "-journal", "test/s3", "-direct"];
        const { stdout } = await runGazettePeer(read, { gazette });
        expect(stdout.equals(Buffer.concat([content, Buffer.from("tail")]))).toBe(true);
        expect(await askGazettePeer(["list"], { gazette })).toHaveLength(1);
      },
    );
  });
});
