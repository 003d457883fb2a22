import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { AppendRecorder, difference } from "../src/faults/journal-recorder.js";
import {
  buildGazette,
  buildGoServer,
  type EtcdCluster,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  s3Environment,
  s3Store,
  startEtcd,
  startEtcdCluster,
  startGazette,
  startToxiproxy,
  startVersitygw,
  type ToxicProxy,
  type ToxiproxyServer,
  toxiproxyBuild,
  versitygwBuild,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import {
  append,
  connect,
  isJournalError,
  isMissing,
  labelSet,
  noRoutes,
  parseLabelSelector,
  persisted,
  readByGo,
  readToHead,
  recorded,
} from "./journal-support.js";
import { Traffic } from "./journal-traffic.js";

const UNAVAILABLE = 14;

/** Enough that batches of all sizes are under way when something breaks. */
const SOME = 40;

expectKnownFailures();

describe.skipIf(isMissing("toxiproxy", "versitygw"))(
  "journals over a network that fails",
  { timeout: 240_000 },
  () => {
    let etcd: EtcdServer;
    let toxiproxy: ToxiproxyServer;
    let gazette: GazetteCluster;
    let journals = 0;
    beforeAll(async () => {
      await buildGoServer(etcdBuild);
      await buildGazette();
      await buildGoServer(gazettePeerBuild);
      await buildGoServer(toxiproxyBuild);
      await buildGoServer(versitygwBuild);
      etcd = await startEtcd();
      toxiproxy = await startToxiproxy();
      gazette = await startGazette({ etcd });
    }, 5 * goBuildTimeoutMs);
    afterAll(async () => {
      await gazette?.stop();
      await toxiproxy?.stop();
      await etcd?.stop();
    });

    async function newJournals(count: number): Promise<string[]> {
      const names = Array.from({ length: count }, () => `faults/network-${journals++}`);
      await gazette.createJournals(names);
      return names;
    }

    const faults: Record<
      string,
      { resets: boolean; strike: (proxy: ToxicProxy) => Promise<() => Promise<void>> }
    > = {
      "cut, and come back": {
        resets: false,
        strike: async (proxy) => {
          await proxy.cut();
          return () => proxy.restore();
        },
      },
      "reset while appends are on their way": {
        resets: true,
        strike: async (proxy) => {
          await proxy.cut();
          await proxy.restore();
          return async () => {};
        },
      },
      slow: {
        resets: false,
        strike: async (proxy) => {
          const toxic = await proxy.latency(300, { jitterMs: 100 });
          return () => toxic.remove();
        },
      },
      "cut, and slow to close": {
        resets: false,
        strike: async (proxy) => {
          const toxic = await proxy.slowClose(500);
          await proxy.cut();
          await proxy.restore();
          return () => toxic.remove();
        },
      },
      "ended after so many bytes, each of them": {
        resets: true,
        strike: async (proxy) => {
          const toxic = await proxy.limitBytes(20_000);
          await proxy.cut();
          await proxy.restore();
          return () => toxic.remove();
        },
      },
    };

    it.each(Object.keys(faults))(
      "appends are committed once and readers miss nothing when connections are %s",
      async (name) => {
        const { resets, strike } = faults[name] as (typeof faults)[string]; // of its own keys
        const proxy = await toxiproxy.proxy(gazette.endpoint, { resets });
        await using client = connect(proxy, { routes: noRoutes });
        await using traffic = new Traffic({ client, journals: await newJournals(3) });
        await traffic.committed(SOME);
        for (let again = 0; again < 4; again++) {
          const heal = await strike(proxy);
          if (name === "slow" || name.startsWith("ended")) await traffic.committed(3);
          else if (name === "cut, and come back") await traffic.failedTries(2);
          await heal();
          await traffic.committed(SOME);
        }
        await traffic.finish(gazette);
        if (name !== "slow") expect(traffic.retries.reads).toBeGreaterThan(0);
      },
    );

    it("appends wait out a long outage in local files, and then come in order", async () => {
      const dir = await mkdtemp(join(tmpdir(), "x-harness-spill-"));
      const end = new AbortController();
      try {
        const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
        await using client = connect(proxy, { routes: noRoutes });
        const recorder = new AppendRecorder();
        const memory = 1024 * 1024;
        const [one = "", two = ""] = await newJournals(2);
        const { signal } = end;
        const service = client.appendService({ maxMemoryBytes: memory, spill: { dir }, signal });
        await proxy.cut();
        const started: Promise<void>[] = [];
        for (let index = 0; index < 8_000; index++) {
          await service.ready();
          const journal = index % 3 === 0 ? one : two;
          const { name, line } = recorder.record(journal, 1_000);
          const op = service.startAppend({ journal });
          op.writer.write(line);
          op.release();
          started.push(
            op
              .err()
              .then((error) => recorder.told(journal, name, error === undefined ? "committed" : "failed")),
          );
          expect(service.usage.memoryBytes).toBeLessThanOrEqual(2 * memory);
        }
        expect(service.usage.spilledBytes).toBeGreaterThan(4 * memory);
        await proxy.restore();
        await Promise.all(started);
        expect(service.usage).toEqual({ memoryBytes: 0, spilledBytes: 0 });
        for (const journal of [one, two]) {
          expect(recorder.violations(journal, await readByGo(gazette, journal))).toEqual([]);
          expect(recorder.count(journal, "failed")).toBe(0);
        }
        expect(await readdir(dir)).toEqual([]);
      } finally {
        end.abort();
        await rm(dir, { recursive: true, force: true });
      }
    });

    it("an append that is reset before its commit is told so, and leaves nothing", async () => {
      const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
      await using client = connect(proxy, { routes: noRoutes });
      const [journal = ""] = await newJournals(1);
      const appender = client.appender({ journal });
      await appender.write(randomBytes(500_000));
      await proxy.cut();
      await proxy.restore();
      await expect(
        (async () => {
          for (;;) await appender.write(randomBytes(100_000));
        })(),
      ).rejects.toMatchObject({ code: "transport" });
      expect(appender.outcomeUnknown).toBe(false);
      expect(await readByGo(gazette, journal)).toHaveLength(0);
      appender.reset();
      await appender.write(Buffer.from("whole"));
      await appender.commit();
      expect((await readByGo(gazette, journal)).toString()).toBe("whole");
    });

    it("an append that is reset in its middle is tried again, from the beginning of its content", async () => {
      const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
      await using client = connect(proxy, { routes: noRoutes });
      const [journal = ""] = await newJournals(1);
      const content = randomBytes(4_000_000);
      let reads = 0;
      const source = {
        read: async function* () {
          reads++;
          for (let at = 0; at < content.length; at += 100_000) {
            yield content.subarray(at, at + 100_000);
            if (at === 2_000_000 && reads <= 3) {
              await proxy.cut();
              await proxy.restore();
            }
          }
        },
      };
      const onEvent = vi.fn();
      expect(await client.append({ journal }, { content: source, onEvent })).toMatchObject({
        commit: { begin: 0n, end: 4_000_000n },
      });
      expect(reads).toBe(4);
      expect(onEvent).toHaveBeenCalledTimes(3);
      expect(difference(await readByGo(gazette, journal), content)).toBeUndefined();
    });

    it.each(["offset", "registers"] as const)(
      "an append that fences by its %s is never written twice, and its refusals and doubts are told",
      async (fence) => {
        const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
        await using client = connect(proxy, { routes: noRoutes });
        await using direct = connect(gazette);
        const [journal = ""] = await newJournals(1);
        const recorder = new AppendRecorder();
        const seed = recorder.record(journal);
        const first = await append(
          direct,
          { journal, unionRegisters: labelSet({ turn: "t0" }) },
          { content: Buffer.from(seed.line) },
        );
        recorder.told(journal, seed.name, "committed");
        let head = first.commit?.end ?? 0n;
        let turn = 0;
        const told: string[] = [];
        for (let index = 0; index < 60; index++) {
          const { name, line } = recorder.record(journal);
          const request =
            fence === "offset"
              ? { journal, offset: head }
              : {
                  journal,
                  checkRegisters: parseLabelSelector(`turn=t${turn}`),
                  subtractRegisters: labelSet({ turn: `t${turn}` }),
                  unionRegisters: labelSet({ turn: `t${turn + 1}` }),
                };
          // Every third connection is reset while the append is on its way: at some moment between its first byte and its answer.
          const breaks = index % 3 === 0;
          const sending = append(recorded(client, recorder), request, { content: Buffer.from(line) });
          if (breaks) void proxy.cut().then(() => proxy.restore());
          const error = await sending.then(
            () => undefined,
            (reason: unknown) => reason,
          );
          told.push(isJournalError(error) ? error.code : String(error));
          recorder.told(journal, name, error === undefined ? "committed" : "failed");
          if (error !== undefined) expect(error).toMatchObject({ code: "transport", grpcCode: UNAVAILABLE });
          if (isJournalError(error) && error.nothingSent) {
            expect((await readByGo(gazette, journal)).includes(line)).toBe(false);
          }
          // Whoever doubts looks: at the write head, or at the registers.
          const now = await append(direct, { journal }, {});
          head = now.commit?.end ?? head;
          turn = Number(now.registers?.find((label) => label.name === "turn")?.value.slice(1));
          if (breaks)
            await vi.waitFor(
              () => client.listAllJournals({}, { signal: AbortSignal.timeout(1_000) }),
              20_000,
            );
        }
        expect(recorder.violations(journal, await readByGo(gazette, journal))).toEqual([]);
        expect(told).toContain("transport");
        // A stale fence is refused at once, however often it is tried.
        const stale =
          fence === "offset"
            ? { journal, offset: 1n }
            : { journal, checkRegisters: parseLabelSelector("turn=t0") };
        await expect(append(direct, stale, { content: Buffer.from("stale") })).rejects.toMatchObject({
          code: fence === "offset" ? "wrong-append-offset" : "register-mismatch",
        });
      },
    );

    it("a reader of much content gets it exactly, over connections that are reset all the time", async () => {
      const [journal = ""] = await newJournals(1);
      await using direct = connect(gazette);
      const content = randomBytes(20_000_000);
      await direct.append({ journal }, { content });
      const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
      await proxy.limitBytes(3_000_000);
      await using client = connect(proxy, { routes: noRoutes });
      const read = await readToHead(client, journal);
      expect(difference(read.content, content)).toBeUndefined();
      expect(read.jumps).toEqual([]);
      expect(read.retries.length).toBeGreaterThan(3);
    });

    it("fragments are read exactly from a store whose connections end in their middle", async (test) => {
      const s3 = await startVersitygw({ test });
      await s3.createBucket("fragments");
      const proxy = await toxiproxy.proxy(s3.endpoint);
      await using own = await startGazette({ etcd, env: s3Environment(s3) });
      const journal = "faults/store";
      await own.createJournal({ name: journal, stores: [s3Store(proxy, "fragments")], ...persisted });
      await using client = connect(own);
      const content = randomBytes(2_000_000);
      for (let at = 0; at < content.length; at += 200_000) {
        await client.append({ journal }, { content: content.subarray(at, at + 200_000) });
      }
      await client.append({ journal }, { content: Buffer.from("closes it") });
      await vi.waitFor(async () => {
        const { fragments } = await client.listAllFragments({ journal });
        expect(fragments.filter(({ spec }) => spec.modTime > 0n)).toHaveLength(10);
      }, 30_000);
      const request = { journal, doNotProxy: true, endOffset: 2_000_000n };
      for (const bytes of [1, 70_000, 150_000]) {
        const toxic = await proxy.limitBytes(bytes);
        let healed: Promise<void> | undefined;
        const failures: unknown[] = [];
        const onRetry = ({ error }: { readonly error: unknown }): void => {
          failures.push(error);
          healed ??= toxic.remove();
        };
        const read = await readToHead(client, request, { onRetry });
        await healed;
        expect(difference(read.content, content)).toBeUndefined();
        expect(read.direct).toBeGreaterThan(1_000_000);
        expect(read.jumps).toEqual([]);
        expect(failures[0]).toMatchObject({ code: "fragment-fetch" });
      }
    });

    it("a watched list goes on when its connections are cut", async () => {
      const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
      await using client = connect(proxy);
      await using list = client.watchList({ selector: "prefix=faults-watched/" });
      const until = async (count: number): Promise<void> => {
        for await (const { journals: listed } of list) if (listed.length === count) return;
      };
      await until(0);
      for (let count = 1; count <= 3; count++) {
        await proxy.cut();
        await gazette.createJournal(`faults-watched/${count}`);
        await proxy.restore();
        await until(count);
      }
    });
  },
);

describe.skipIf(isMissing())("journals of brokers that fail", { timeout: 240_000 }, () => {
  let etcd: EtcdServer;
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
    etcd = await startEtcd();
  }, 3 * goBuildTimeoutMs);
  afterAll(() => etcd?.stop());

  const names = ["faults/a", "faults/b", "faults/c", "faults/d"] as const;

  async function threeBrokers(
    test: NonNullable<Parameters<typeof startGazette>[0]["test"]>,
    from: EtcdServer | EtcdCluster = etcd,
  ): Promise<GazetteCluster> {
    const gazette = await startGazette({ etcd: from, test, brokers: 3, leaseSeconds: 2 });
    await gazette.createJournals(names.map((name) => ({ name, replication: 2, refreshSeconds: 1 })));
    return gazette;
  }

  it("a broker of three is killed, and comes back: appends are committed once, readers miss nothing", async (test) => {
    const gazette = await threeBrokers(test);
    await using client = connect(gazette, { endpoints: gazette.endpoints });
    await using traffic = new Traffic({ client, journals: names });
    await traffic.committed(SOME);
    const primary = await gazette.primaryOf(names[0]);
    await primary.kill("SIGKILL");
    await traffic.committed(SOME);
    await primary.restart();
    await gazette.waitForAssignment(names);
    // Now and then the brokers themselves hold up appends here (the Go client's too), until their check once a minute.
    await traffic.committed(SOME);
    await traffic.finish(gazette);
    expect(traffic.retries.appends).toBeGreaterThan(0);
    expect(traffic.retries.reads).toBeGreaterThan(0);
  });

  it("the leader of etcd is killed: appends are committed once, readers miss nothing, journals can be made", async (test) => {
    await using cluster = await startEtcdCluster();
    const gazette = await startGazette({ etcd: cluster, test, brokers: 3, leaseSeconds: 20 });
    await gazette.createJournals(names.map((name) => ({ name, replication: 2, refreshSeconds: 1 })));
    await using client = connect(gazette, { endpoints: gazette.endpoints });
    await using traffic = new Traffic({ client, journals: names });
    await using list = client.watchList({ selector: "prefix=faults/" });
    await traffic.committed(SOME);
    const leader = await leaderOf(cluster);
    await leader.kill("SIGKILL");
    await traffic.committed(SOME);
    await vi.waitFor(() => gazette.createJournal({ name: "faults/new", replication: 1 }), 60_000);
    for await (const { journals } of list) if (journals.length === names.length + 1) break;
    await leader.restart();
    await traffic.committed(SOME);
    await traffic.finish(gazette);
  });

  it("a primary hands its journals over: appends are committed once, readers miss nothing", async (test) => {
    const gazette = await threeBrokers(test);
    await using client = connect(gazette, { endpoints: gazette.endpoints });
    await using traffic = new Traffic({ client, journals: names });
    await traffic.committed(SOME);
    const primary = await gazette.primaryOf(names[0]);
    await primary.kill("SIGTERM");
    expect((await primary.exited).code).toBe(0);
    await traffic.committed(SOME);
    await primary.restart();
    await traffic.committed(SOME);
    await traffic.finish(gazette);
  });

  it("a primary stands still until others have its journals, and goes on: nothing is committed twice or lost", async (test) => {
    const gazette = await threeBrokers(test);
    await using client = connect(gazette, { endpoints: gazette.endpoints });
    await using traffic = new Traffic({ client, journals: names });
    await traffic.committed(SOME);
    const primary = await gazette.primaryOf(names[0]);
    await primary.kill("SIGSTOP");
    const other = gazette.brokers.find((broker) => broker !== primary) ?? primary;
    await vi.waitFor(async () => {
      const listed = await gazette.listJournals({ broker: other });
      const members = listed.flatMap((journal) => journal.members.map(({ suffix }) => suffix));
      expect(members).not.toContain(primary.processId.suffix);
      expect(listed.every((journal) => journal.members.length === 2)).toBe(true);
    }, 60_000);
    await primary.kill("SIGCONT");
    await traffic.committed(SOME);
    await traffic.finish(gazette);
  });

  it("a watched list goes on when brokers are killed and come back", async (test) => {
    const gazette = await startGazette({ etcd, test, leaseSeconds: 2 });
    await using client = connect(gazette);
    await using list = client.watchList({ selector: "prefix=faults/" });
    const until = async (count: number): Promise<void> => {
      for await (const { journals } of list) if (journals.length === count) return;
    };
    await until(0);
    for (let count = 1; count <= 3; count++) {
      await gazette.brokers[0]?.kill("SIGKILL");
      await gazette.brokers[0]?.restart();
      await gazette.createJournal(`faults/watched-${count}`);
      await until(count);
    }
  });

  it("a journal is deleted and made again: appends are refused until one says where it goes on, and its reader goes on", async (test) => {
    const gazette = await startGazette({ etcd, test });
    const journal = "faults/again";
    await gazette.createJournal({ name: journal, ...persisted });
    await using client = connect(gazette);
    const content = randomBytes(10_000);
    await client.append({ journal }, { content });
    await client.append({ journal }, { content: Buffer.from("closes it") });
    const reader = client.retryReader({ journal, block: true });
    const read: Uint8Array[] = [];
    let bytes = 0;
    const readUntil = async (offset: number): Promise<void> => {
      while (bytes < offset) {
        const chunk = (await reader.read()) ?? Buffer.alloc(0);
        read.push(chunk);
        bytes += chunk.length;
      }
    };
    // What was not persisted goes with the journal, so it is: that is what suspending does.
    await expect(client.append({ journal, suspend: "SUSPEND_NOW" }, {})).rejects.toMatchObject({
      code: "suspended",
    });
    await vi.waitFor(
      async () => expect(await readdir(join(gazette.fileRoot, journal))).toHaveLength(2),
      30_000,
    );
    await client.append({ journal }, {});
    await readUntil(10_009);
    const waiting = reader.read();
    waiting.catch(() => {}); // it is awaited below
    await gazette.deleteJournals([journal]);
    await gazette.createJournal({ name: journal, ...persisted });
    const refused = client.append({ journal }, { content: Buffer.from("refused") });
    await expect(refused).rejects.toMatchObject({ code: "index-has-greater-offset" });
    await using service = client.appendService();
    const op = service.startAppend({ journal });
    op.writer.write("refused");
    op.release();
    expect(await op.err()).toMatchObject({ code: "index-has-greater-offset" });
    await client.append({ journal, offset: 10_009n }, { content: Buffer.from("goes on") });
    const next = (await waiting) ?? Buffer.alloc(0);
    expect(Buffer.concat([...read, next]).toString("latin1")).toBe(
      `${content.toString("latin1")}closes itgoes on`,
    );
    expect(difference(await readByGo(gazette, journal), Buffer.concat([...read, next]))).toBeUndefined();
    await reader.close();
  });

  it.each([true, false])(
    "a fragment's file is gone: the reader is told which bytes are, and gets all the others; read directly: %s",
    async (doNotProxy) => {
      await using gazette = await startGazette({ etcd });
      const journal = "faults/removed";
      await gazette.createJournal({ name: journal, ...persisted });
      await using client = connect(gazette);
      client.installFileTransport(gazette.fileRoot);
      const parts = Array.from({ length: 4 }, () => randomBytes(5_000));
      for (const content of parts) await client.append({ journal }, { content });
      await client.append({ journal }, { content: Buffer.from("closes the last") });
      const folder = join(gazette.fileRoot, journal);
      await vi.waitFor(async () => {
        expect((await readToHead(client, { journal, doNotProxy: true })).direct).toBe(20_000);
      }, 30_000);
      // Brokers take a hole for one that stays only when what is behind it is six hours old.
      const files = (await readdir(folder)).sort();
      const longAgo = new Date(Date.now() - 7 * 3_600_000);
      for (const file of files) await utimes(join(folder, file), longAgo, longAgo);
      await vi.waitFor(async () => {
        const { fragments } = await client.listAllFragments({ journal });
        const old = fragments.filter(
          ({ spec }) => spec.modTime > 0n && Number(spec.modTime) * 1000 <= longAgo.getTime(),
        );
        expect(old).toHaveLength(4);
      }, 30_000);
      await rm(join(folder, files[1] ?? ""));
      const read = await readToHead(client, { journal, doNotProxy });
      const [first, , third, fourth] = parts as [Buffer, Buffer, Buffer, Buffer]; // four were made
      expect(read.jumps).toEqual([[5_000n, 10_000n]]);
      const rest = Buffer.concat([first, third, fourth, Buffer.from("closes the last")]);
      expect(difference(read.content, rest)).toBeUndefined();
      // Without an ear for jumps the reader throws once, and then goes on.
      const strict = client.retryReader({ journal, doNotProxy, offset: 4_999n });
      expect(await strict.read()).toHaveLength(1);
      await expect(strict.read()).rejects.toMatchObject({ code: "offset-jump", from: 5_000n, to: 10_000n });
      const next = (await strict.read()) ?? Buffer.alloc(0);
      expect(difference(next, third.subarray(0, next.length))).toBeUndefined();
      await strict.close();
    },
  );
});

async function leaderOf(cluster: EtcdCluster): Promise<EtcdServer> {
  for (const member of cluster.members) {
    const response = await fetch(`${member.endpoint}/v3/maintenance/status`, { method: "POST", body: "{}" });
    const status = (await response.json()) as { leader: string; header: { member_id: string } };
    if (status.leader === status.header.member_id) return member;
  }
  throw new Error("etcd has no leader");
}
