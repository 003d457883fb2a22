import { Etcd3 } from "etcd3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type EtcdServer,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../../apps/harness/src/servers/index.js";
import { etcdCoord } from "../src/etcd.js";
import {
  FaultyProxy,
  iterate,
  portOf,
  put,
  revisionsOf,
  soon,
  take,
  watchMessagesSent,
  watchStreamsOpened,
} from "./etcd-support.js";

const root = { username: "root", password: "secret" };
const reader = { username: "reader", password: "open" };
const impatient = { requestTimeoutMs: 20_000, probeIntervalMs: 100, maxReconnectDelayMs: 200 };

describe.skipIf(!requireServer("etcd"))("real etcd with authentication", { timeout: 60_000 }, () => {
  let etcd: EtcdServer;
  let client: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    client = new Etcd3({ hosts: etcd.endpoint });
    await client.role("root").create();
    await client.user("root").create(root.password);
    await client.user("root").addRole("root");
    const own = await client.role("own").create();
    await own.grant({ permission: "Readwrite", range: client.range({ prefix: "own/" }) });
    await client.user("reader").create(reader.password);
    await client.user("reader").addRole("own");
    await client.auth.authEnable();
    client.close();
    client = new Etcd3({ hosts: etcd.endpoint, auth: root });
  }, goBuildTimeoutMs);

  afterAll(async () => {
    client?.close();
    await etcd?.stop();
  });

  /**
   * Makes all tokens of the reader worthless, as a restart or the end of their time does: etcd forgets them with the
   * password.
   */
  async function forgetTokens(): Promise<void> {
    await client.user("reader").setPassword(reader.password);
  }

  it("renews a token that became worthless, for calls and for watches", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using coord = etcdCoord({ hosts: proxy.endpoint, auth: reader, ...impatient });
    const first = await put(coord, "own/k");
    const watch = iterate(coord.watch({ prefix: "own/" }, { fromRevision: first }));
    await take(watch, 1);
    const pending = take(watch, 1);
    await forgetTokens();
    proxy.cut();
    // The watch comes back by itself; the write is another's, so that it can't be what renews the token.
    await using other = etcdCoord({ hosts: etcd.endpoint, auth: root, ...impatient });
    const revision = await put(other, "own/k");
    expect(revisionsOf(await pending)).toEqual([revision]);
    expect((await coord.get({ prefix: "own/" })).kvs).toHaveLength(1);
    await watch.return();
  });

  it("does not send a transaction twice when its token is worthless", async () => {
    await using coord = etcdCoord({ hosts: etcd.endpoint, auth: reader, ...impatient });
    await put(coord, "own/count");
    const before = (await coord.get({ key: "own/count" })).kvs[0]!.version;
    await forgetTokens();
    await put(coord, "own/count");
    expect((await coord.get({ key: "own/count" })).kvs[0]!.version).toBe(before + 1n);
  });

  it("tells what is not permitted as an invalid argument, to watches too, which would else try for ever", async () => {
    await using coord = etcdCoord({ hosts: etcd.endpoint, auth: reader, ...impatient });
    const refused = { code: "invalid-argument" };
    await expect(coord.get({ key: "others" })).rejects.toMatchObject(refused);
    await expect(put(coord, "others")).rejects.toMatchObject(refused);
    await expect(take(iterate(coord.watch({ key: "others" })), 1)).rejects.toMatchObject(refused);
    const watch = iterate(coord.watch({ key: "others" }, { fromRevision: 1n }));
    await expect(take(watch, 1)).rejects.toMatchObject(refused);
    await using wrong = etcdCoord({
      hosts: etcd.endpoint,
      auth: { ...reader, password: "wrong" },
      ...impatient,
    });
    await expect(wrong.get({ key: "own/k" })).rejects.toMatchObject(refused);
    await expect(wrong.keepAlive(1n)).rejects.toMatchObject(refused);
    await expect(take(iterate(wrong.watch({ key: "own/k" }, { fromRevision: 1n })), 1)).rejects.toMatchObject(
      refused,
    );
  });

  it("keeps a quiet watch of a user who may not read everything, although it asks for signs of life", async () => {
    await using coord = etcdCoord({ hosts: etcd.endpoint, auth: reader, ...impatient, probeIntervalMs: 10 });
    const first = await put(coord, "own/quiet");
    const watch = iterate(coord.watch({ key: "own/quiet" }, { fromRevision: first + 1n }));
    const pending = take(watch, 1);
    const sent = await watchMessagesSent(etcd.endpoint);
    await expect.poll(() => watchMessagesSent(etcd.endpoint), soon).toBeGreaterThan(sent + 10);
    const streams = await watchStreamsOpened(etcd.endpoint);
    await expect.poll(() => watchMessagesSent(etcd.endpoint), soon).toBeGreaterThan(sent + 30);
    expect(await watchStreamsOpened(etcd.endpoint)).toBe(streams);
    const revision = await put(coord, "own/quiet");
    expect(revisionsOf(await pending)).toEqual([revision]);
    await watch.return();
  });

  it("keeps its deadlines when it is the authentication that is not answered", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    proxy.swallow("toClient");
    await using coord = etcdCoord({
      hosts: proxy.endpoint,
      auth: reader,
      requestTimeoutMs: 100,
      maxReconnectDelayMs: 1,
    });
    const late = { code: "unavailable" };
    await expect(coord.get({ key: "own/k" })).rejects.toMatchObject(late);
    await expect(coord.keepAlive(1n)).rejects.toMatchObject(late);
    const pending = take(iterate(coord.watch({ key: "own/k" }, { fromRevision: 1n })), 1);
    const told = expect(pending).rejects.toMatchObject({ code: "closed" });
    await expect(coord.grantLease(1_000)).rejects.toMatchObject(late);
    await coord.close();
    await told;
  });
});
