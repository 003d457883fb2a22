import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
  type EtcdServer,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
} from "../../../apps/harness/src/servers/index.js";
import { Endpoints } from "../src/etcd/endpoints.js";
import { type WatchHost, watchRevisions } from "../src/etcd/watch.js";
import { etcdCoord } from "../src/etcd.js";
import type { Clock, Coord } from "../src/index.js";
import { CoordError, systemClock } from "../src/index.js";
import {
  describeEvents,
  FaultyProxy,
  iterate,
  portOf,
  put,
  revisionsOf,
  soon,
  take,
  watchersOn,
  watchMessagesSent,
  watchStreamsOpened,
} from "./etcd-support.js";

/** The calls and probes that are to be answered have as much time as one that is not. */
const impatient = { requestTimeoutMs: 5_000, probeIntervalMs: 100, maxReconnectDelayMs: 200 };

describe.skipIf(!requireServer("etcd"))("watching real etcd", { timeout: 60_000 }, () => {
  let etcd: EtcdServer;
  let coord: Coord;

  beforeAll(async () => {
    etcd = await startEtcd();
  }, goBuildTimeoutMs);

  afterAll(async () => {
    await etcd?.stop();
  });

  beforeEach(async (test) => {
    etcd.keepIfFails(test);
    const fresh = etcdCoord({ hosts: etcd.endpoint, ...impatient });
    coord = fresh;
    test.onTestFinished(() => fresh.close());
  });

  it("tells every revision once and in order while etcd is killed and comes back, three times, under writes", async () => {
    const first = (await put(coord, "k", "start")) + 1n;
    const watch = iterate(coord.watch({ key: "k" }, { fromRevision: first }));
    const told: bigint[] = [];
    const reading = (async () => {
      for (let events: string[] = []; !events.includes("put k=last"); ) {
        const batches = await take(watch, 1);
        told.push(...revisionsOf(batches));
        events = batches.flatMap(describeEvents);
      }
    })();
    for (let round = 0; round < 3; round++) {
      let stop = false;
      const writing = (async () => {
        while (!stop)
          await put(coord, "k").catch((error) => expect(error).toMatchObject({ code: "unavailable" }));
      })();
      const reached = told.length + 50;
      await expect.poll(() => told.length, { ...soon, interval: 5 }).toBeGreaterThan(reached);
      await etcd.kill("SIGKILL");
      await etcd.restart();
      stop = true;
      await writing;
    }
    // The last write may have found no connection yet.
    await expect.poll(() => coord.get({ key: "k" }).then(() => true, String), soon).toBe(true);
    const last = await put(coord, "k", "last");
    await reading;
    // Nobody else writes, so the revisions have no gaps.
    const expected = Array.from({ length: Number(last - first) + 1 }, (_, index) => first + BigInt(index));
    expect(told).toEqual(expected);
    await watch.return();
  });

  it("tells what happened around a pause of the whole server once", async () => {
    const watch = iterate(coord.watch({ prefix: "pause/" }));
    await put(coord, "pause/a", "1");
    expect((await take(watch, 1)).flatMap(describeEvents)).toEqual(["put pause/a=1"]);
    const pending = take(watch, 2);
    await etcd.kill("SIGSTOP");
    // Longer than the watch waits for the answer to a probe: the call's own deadline is as long, and begins no earlier.
    await expect(put(coord, "pause/lost?")).rejects.toMatchObject({ code: "unavailable" });
    await expect(coord.get({ key: "pause/a" })).rejects.toMatchObject({ code: "unavailable" });
    await etcd.kill("SIGCONT");
    await expect
      .poll(() => put(coord, "pause/b", "2").catch((error) => error.code), soon)
      .toBeTypeOf("bigint");
    const { kvs } = await coord.get({ prefix: "pause/" });
    const written = kvs.filter(({ key }) => key !== "pause/a").map(({ modRevision }) => modRevision);
    // The write that timed out may have been done after all; if not, one more makes the second batch.
    if (written.length === 1) written.push(await put(coord, "pause/c"));
    expect(revisionsOf(await pending)).toEqual(written.sort((a, b) => Number(a - b)));
    await watch.return();
  });

  it("notices a connection that went dead without a word, and goes on over a new one", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    const noKeepalive = { "grpc.keepalive_time_ms": 2 ** 31 - 1 }; // which would notice it too, later
    await using behind = etcdCoord({ hosts: proxy.endpoint, ...impatient, grpcOptions: noKeepalive });
    const watch = iterate(behind.watch({ prefix: "dead/" }));
    await put(behind, "dead/a");
    await take(watch, 1);
    const accepted = proxy.accepted;
    proxy.freezeExisting();
    const revision = await put(coord, "dead/b"); // past the proxy
    expect(revisionsOf(await take(watch, 1))).toEqual([revision]);
    expect(proxy.accepted).toBeGreaterThan(accepted);
    await watch.return();
  });

  it("keeps its stream while nothing changes, although it asks for signs of life", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using behind = etcdCoord({
      hosts: proxy.endpoint,
      ...impatient,
      requestTimeoutMs: 2_000,
      probeIntervalMs: 50,
    });
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(0); // those of earlier tests are gone
    const watch = iterate(behind.watch({ key: "quiet" }));
    const pending = take(watch, 1);
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(1);
    const sent = await watchStreamsOpened(etcd.endpoint);
    // Longer than it would wait for an answer, told by a lease's end: etcd's clock, not ours.
    const lease = await coord.grantLease(5_000);
    await coord.txn({ then: [{ type: "put", key: "other", value: "", lease: lease.id }] });
    const gone = iterate(coord.watch({ key: "other" }));
    await take(gone, 1);
    await gone.return();
    expect(await watchStreamsOpened(etcd.endpoint)).toBe(sent + 1); // that of `gone`
    const revision = await put(coord, "quiet");
    expect(revisionsOf(await pending)).toEqual([revision]);
    await watch.return();
  });

  it("goes to the next member when its own does not answer any more", async () => {
    await using dead = await FaultyProxy.start(portOf(etcd.endpoint));
    await using alive = await FaultyProxy.start(portOf(etcd.endpoint));
    // A first random number of 0 chooses the first host.
    const first = { randomBytes: (count: number) => new Uint8Array(count) };
    await using both = etcdCoord({ hosts: [dead.endpoint, alive.endpoint], ...impatient, ...first });
    const watch = iterate(both.watch({ prefix: "move/" }));
    await put(both, "move/a");
    await take(watch, 1);
    expect(alive.accepted).toBe(0);
    dead.swallow("toClient", "toServer");
    const revision = await put(coord, "move/b");
    expect(revisionsOf(await take(watch, 1))).toEqual([revision]);
    expect(alive.accepted).toBeGreaterThan(0);
    await watch.return();
  });

  it("gives all events of a transaction in one batch, in their order", async () => {
    await put(coord, "batch/old");
    const watch = iterate(coord.watch({ prefix: "batch/" }));
    await coord.txn({
      then: [
        { type: "put", key: "batch/z", value: "1" },
        { type: "delete", key: "batch/old" },
        { type: "put", key: "elsewhere", value: "" },
        { type: "put", key: "batch/a", value: "2" },
      ],
    });
    const [batch] = await take(watch, 1);
    expect(describeEvents(batch!)).toEqual(["put batch/z=1", "delete batch/old", "put batch/a=2"]);
    await watch.return();
  });

  it("catches up with thousands of revisions, more than etcd sends in one response or gRPC takes by default", async () => {
    await using patient = etcdCoord({ hosts: etcd.endpoint, requestTimeoutMs: 30_000 });
    const value = "x".repeat(4_000);
    const first = await put(patient, "many", value);
    await Promise.all(Array.from({ length: 2_500 }, () => put(patient, "many", value)));
    const batches = await take(iterate(patient.watch({ key: "many" }, { fromRevision: first })), 2_501);
    expect(revisionsOf(batches)).toEqual(Array.from({ length: 2_501 }, (_, index) => first + BigInt(index)));
  });

  it("stops reading behind a slow reader, without holding up others, and loses nothing", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using behind = etcdCoord({
      hosts: proxy.endpoint,
      requestTimeoutMs: 30_000,
      probeIntervalMs: 10,
      watchQueueBytes: 10_000,
    });
    const value = "x".repeat(2_000);
    const first = await put(behind, "slow/0", value);
    const slow = iterate(behind.watch({ prefix: "slow/" }, { fromRevision: first }));
    await take(slow, 1);
    const quick = iterate(behind.watch({ key: "quick" }, { fromRevision: first }));
    await using patient = etcdCoord({ hosts: etcd.endpoint, requestTimeoutMs: 30_000 });
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 100 }, () => put(patient, "slow/1", value)));
    }
    const revision = await put(patient, "quick");
    expect(revisionsOf(await take(quick, 1))).toEqual([revision]);
    expect(proxy.bytesToClient).toBeLessThan(1_000_000); // of four million
    const batches = await take(slow, 2_000);
    expect(revisionsOf(batches)).toEqual(
      Array.from({ length: 2_000 }, (_, index) => first + 1n + BigInt(index)),
    );
    expect(proxy.accepted).toBe(1);
    await slow.return();
    await quick.return();
  });

  it("ends with compacted, and the oldest revision left, when history was thrown away while it was disconnected", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using behind = etcdCoord({ hosts: proxy.endpoint, ...impatient });
    const watch = iterate(behind.watch({ prefix: "cut/" }));
    await put(behind, "cut/a");
    await take(watch, 1);
    const pending = take(watch, 1);
    proxy.redirect(1); // nobody listens there
    proxy.cut();
    await put(coord, "cut/b");
    const newest = await put(coord, "cut/c");
    await etcd.compact(newest);
    proxy.redirect(portOf(etcd.endpoint));
    const error = await pending.catch((reason) => reason);
    expect(error).toBeInstanceOf(CoordError);
    expect(error).toMatchObject({ code: "compacted", compactRevision: newest });
    const { kvs } = await behind.get({ prefix: "cut/" }, { revision: error.compactRevision });
    expect(kvs.map(({ key }) => key)).toEqual(["cut/a", "cut/b", "cut/c"]);
    const again = await take(
      iterate(behind.watch({ prefix: "cut/" }, { fromRevision: error.compactRevision })),
      1,
    );
    expect(revisionsOf(again)).toEqual([newest]);
  });

  it("comes through a disconnection on quiet keys although older history was thrown away", async () => {
    await using proxy = await FaultyProxy.start(portOf(etcd.endpoint));
    await using behind = etcdCoord({ hosts: proxy.endpoint, ...impatient, probeIntervalMs: 20 });
    const watch = iterate(behind.watch({ key: "rare" }));
    await put(behind, "rare", "1");
    await take(watch, 1);
    const pending = take(watch, 1);
    let newest = 0n;
    for (let round = 0; round < 5; round++) newest = await put(coord, `often/${round}`);
    // Two messages for each question, and the first of them may have been asked before.
    const answers = await watchMessagesSent(etcd.endpoint);
    await expect
      .poll(() => watchMessagesSent(etcd.endpoint), { ...soon, interval: 20 })
      .toBeGreaterThan(answers + 3);
    proxy.redirect(1);
    proxy.cut();
    await etcd.compact(newest);
    proxy.redirect(portOf(etcd.endpoint));
    const revision = await put(coord, "rare", "2");
    expect(revisionsOf(await pending)).toEqual([revision]);
    await watch.return();
  });

  it("tells a read of a compacted revision where history begins", async () => {
    const old = await put(coord, "k");
    await put(coord, "k");
    const newest = await put(coord, "k");
    await etcd.compact(newest);
    await expect(coord.get({ key: "k" }, { revision: old })).rejects.toMatchObject({
      code: "compacted",
      compactRevision: newest,
    });
  });

  it("takes the watch off the server when the loop is left, and when the coord is closed", async () => {
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(0); // those of earlier tests are gone
    await put(coord, "left");
    for await (const _ of coord.watch(
      { key: "left" },
      { fromRevision: (await coord.get({ key: "left" })).revision },
    )) {
      await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(1);
      break;
    }
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(0);

    const pending = take(iterate(coord.watch({ key: "left" })), 1);
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(1);
    await coord.close();
    await expect(pending).rejects.toMatchObject({ code: "closed" });
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(0);
  });

  it("ends a waiting next when the iterator is returned, connected or not", async () => {
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(0); // those of earlier tests are gone
    await using nowhere = etcdCoord({ hosts: "http://127.0.0.1:1", ...impatient });
    for (const at of [coord, nowhere]) {
      const watch = iterate(at.watch({ key: "returned" }, { fromRevision: 1_000_000n }));
      const pending = watch.next();
      if (at === coord) await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(1);
      await watch.return();
      expect(await pending).toMatchObject({ done: true });
    }
  });

  it("rejects with the signal's own reason, at once, connected or not", async () => {
    await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(0); // those of earlier tests are gone
    await using nowhere = etcdCoord({ hosts: "http://127.0.0.1:1", ...impatient });
    for (const at of [coord, nowhere]) {
      const abort = new AbortController();
      const options = { fromRevision: 1_000_000n, signal: abort.signal };
      const pending = take(iterate(at.watch({ key: "aborted" }, options)), 1);
      if (at === coord) await expect.poll(() => watchersOn(etcd.endpoint), soon).toBe(1);
      const reason = { why: "enough" };
      abort.abort(reason);
      await expect(pending).rejects.toBe(reason);
    }
  });

  it("begins behind the newest revision of the time of the call, even if the loop begins later", async () => {
    for (let round = 0; round < 20; round++) {
      await put(coord, "begin", "before");
      const watch = coord.watch({ key: "begin" });
      const revision = await put(coord, "begin", "after");
      await put(coord, "begin", "later");
      const iterator = iterate(watch);
      expect(revisionsOf(await take(iterator, 1))).toEqual([revision]);
      await iterator.return();
    }
  });

  it("loses nothing when the look at the history fails while events have come already", async () => {
    const endpoints = Endpoints.open([etcd.endpoint], {}, 0);
    const first = await put(coord, "look", "1");
    let looks = 0;
    const host: WatchHost = {
      scope: { clock: systemClock, requestTimeoutMs: 5_000, ended: new AbortController().signal },
      endpoints,
      probeIntervalMs: 1_000,
      queueBytes: 1_000_000,
      maxReconnectDelayMs: 1,
      random: () => 0,
      observe: () => {},
      checkHistory: async () => {
        if (looks++ > 0) return;
        await put(coord, "look", "2");
        const other = iterate(coord.watch({ key: "look" }, { fromRevision: first }));
        await take(other, 2); // by then the watch under test has had the first
        await other.return();
        throw new CoordError("unavailable", "as when another member is asked, and is gone");
      },
    };
    const watch = iterate(
      watchRevisions(host, {
        range: { key: Buffer.from("look") },
        from: Promise.resolve(first),
        signal: undefined,
      }),
    );
    expect(revisionsOf(await take(watch, 2))).toEqual([first, first + 1n]);
    expect(looks).toBe(2);
    await watch.return();
    endpoints.close();
  });

  it("says so when the newest revision can't be found out, for then nobody knows where to begin", async () => {
    await using nowhere = etcdCoord({ hosts: "http://127.0.0.1:1", ...impatient });
    await expect(take(iterate(nowhere.watch({ key: "k" })), 1)).rejects.toMatchObject({
      code: "unavailable",
    });
  });
});

describe("watching an etcd that is not there", () => {
  it("tries again after pauses that double up to the longest, each a random part of it", async () => {
    const pauses: number[] = [];
    const requestTimeoutMs = 54_321;
    const clock: Clock = {
      monotonicMs: () => 0,
      setTimer(delayMs, callback) {
        if (delayMs === requestTimeoutMs) return () => {};
        pauses.push(delayMs);
        return systemClock.setTimer(0, callback);
      },
    };
    await using coord = etcdCoord({
      hosts: "http://127.0.0.1:1",
      clock,
      randomBytes: () => new Uint8Array([0x40, 0, 0, 0]), // a quarter
      requestTimeoutMs,
      maxReconnectDelayMs: 1_000,
    });
    const pending = take(iterate(coord.watch({ key: "k" }, { fromRevision: 1n })), 1);
    const told = expect(pending).rejects.toMatchObject({ code: "closed" });
    await expect.poll(() => pauses.length, soon).toBeGreaterThanOrEqual(6);
    expect(pauses.slice(0, 6)).toEqual([25, 50, 100, 200, 250, 250]);
    await coord.close();
    await told;
  });
});
