import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Flags, ReadCommitted } from "@x/journal-client/messages";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  runProgram,
  startEtcd,
  startGazette,
  startToxiproxy,
  type ToxicProxy,
  type ToxiproxyServer,
  toxiproxyBuild,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import { connect, isMissing, noRoutes } from "./journal-support.js";
import { type Phase, Transactions } from "./journal-transactions.js";
import { entries, entriesByGo, entryLabels, nameOf } from "./journal-transactions-entries.js";

const producer = fileURLToPath(new URL("fixtures/journal-producer.mjs", import.meta.url));

/** Enough that each fate of a transaction comes at least once. */
const SOME = 10;

expectKnownFailures();

describe.skipIf(isMissing("toxiproxy"))("transactions over two journals", { timeout: 240_000 }, () => {
  let etcd: EtcdServer;
  let toxiproxy: ToxiproxyServer;
  let gazette: GazetteCluster;
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
    await buildGoServer(toxiproxyBuild);
    etcd = await startEtcd();
    toxiproxy = await startToxiproxy();
    gazette = await startGazette({ etcd });
  }, 4 * goBuildTimeoutMs);
  afterAll(async () => {
    await gazette?.stop();
    await toxiproxy?.stop();
    await etcd?.stop();
  });

  let made = 0;
  async function twoJournals(): Promise<[string, string]> {
    const names: [string, string] = [`transactions/${made}-one`, `transactions/${made++}-two`];
    await gazette.createJournals(names.map((name) => ({ name, labels: entryLabels() })));
    return names;
  }

  const faults: Record<string, (proxy: ToxicProxy, traffic: Transactions) => Promise<void>> = {
    "cut, and come back": async (proxy, traffic) => {
      await proxy.cut();
      await traffic.failedTries(2);
      await proxy.restore();
    },
    "reset while appends are on their way": async (proxy) => {
      await proxy.cut();
      await proxy.restore();
    },
    "ended after so many bytes, each of them": async (proxy, traffic) => {
      const toxic = await proxy.limitBytes(20_000);
      await proxy.cut();
      await proxy.restore();
      await traffic.committed(3);
      await toxic.remove();
    },
  };

  it.each(Object.keys(faults))(
    "are read committed once, whole and in order, and those rolled back are not, when connections are %s",
    async (name) => {
      const strike = faults[name] as (typeof faults)[string]; // of its own keys
      const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
      await using client = connect(proxy, { routes: noRoutes });
      await using traffic = new Transactions({ client, journals: await twoJournals() });
      await traffic.committed(SOME);
      for (let again = 0; again < 3; again++) {
        await strike(proxy, traffic);
        await traffic.committed(SOME);
        traffic.replaceReaders();
      }
      await traffic.finish(gazette);
      expect(traffic.retries.reads).toBeGreaterThan(0);
    },
  );

  it.each(["messages", "acknowledgements"] as const)(
    "are read committed once although the answers about their %s are lost, so that they are written twice",
    async (lost: Phase) => {
      const proxy = await toxiproxy.proxy(gazette.endpoint, { resets: true });
      await using client = connect(proxy, { routes: noRoutes });
      await using direct = connect(gazette);
      await using traffic = new Transactions({ client, journals: await twoJournals(), publishers: 1 });
      await traffic.committed(SOME);
      for (let again = 0; again < 4; again++) {
        let struck = (): void => {};
        const striking = new Promise<void>((resolve) => {
          struck = resolve;
        });
        let toxic: Awaited<ReturnType<ToxicProxy["blackHole"]>> | undefined;
        traffic.before = async (phase) => {
          if (phase !== lost) return;
          traffic.before = undefined;
          toxic = await proxy.blackHole();
          struck();
        };
        await striking;
        await vi.waitFor(async () => expect(await traffic.hasUntold(direct)).toBe(true), 30_000);
        await proxy.cut();
        await toxic?.remove();
        await proxy.restore();
        await traffic.committed(SOME);
        traffic.replaceReaders();
      }
      // Each time something of it in one journal at least.
      expect((await traffic.finish(gazette))[lost]).toBeGreaterThanOrEqual(4);
    },
  );

  it("are read committed once when a broker of three is killed while they are acknowledged, and comes back", async (test) => {
    const cluster = await startGazette({ etcd, test, brokers: 3, leaseSeconds: 2 });
    const journals = ["transactions/killed-one", "transactions/killed-two"] as const;
    await cluster.createJournals(
      journals.map((name) => ({ name, labels: entryLabels(), replication: 2, refreshSeconds: 1 })),
    );
    await using client = connect(cluster, { endpoints: cluster.endpoints });
    await using traffic = new Transactions({ client, journals });
    await traffic.committed(SOME);
    const primary = await cluster.primaryOf(journals[0]);
    const killed = new Promise<void>((resolve, reject) => {
      traffic.before = async (phase) => {
        if (phase !== "acknowledgements") return;
        traffic.before = undefined;
        // Not waited for here: the acknowledgements are on their way when it dies.
        primary.kill("SIGKILL").then(resolve, reject);
      };
    });
    await killed;
    await traffic.committed(SOME);
    traffic.replaceReaders();
    await primary.restart();
    await cluster.waitForAssignment(journals);
    await traffic.committed(SOME);
    await traffic.finish(cluster);
    expect(traffic.retries.appends).toBeGreaterThan(0);
    expect(traffic.retries.reads).toBeGreaterThan(0);
  });

  /** Where a producer's process dies: see its program. */
  const deaths = ["some", "all", "kept", "half", "sent", "acknowledged"];

  it.each(["a new name", "the name that it had"])(
    "are read committed once, whole and in order, when their producer is killed at each point and goes on under %s",
    async (name) => {
      const [one, two] = await twoJournals();
      const folder = await mkdtemp(join(tmpdir(), "x-harness-producer-"));
      try {
        const count = deaths.length + 2;
        const produce = (...death: readonly string[]): Promise<unknown> => {
          const kept = join(folder, "kept.json");
          const names = name === "a new name" ? "new" : "same";
          const args = [producer, gazette.endpoint, kept, names, `${count}`, one, two, ...death];
          return runProgram(process.execPath, { args, cwd: folder, signal: AbortSignal.timeout(60_000) });
        };
        // Readers that follow while it dies, and that begin when all is over, as of the Go client.
        await using client = connect(gazette);
        const following = [one, two].map(
          (journal) => new ReadCommitted(client, { journal, block: true }, entries),
        );
        const followed = following.map(async (reader) => {
          const seen: string[] = [];
          while (seen.length < 3 * count) {
            const envelope = await reader.next();
            if (envelope !== undefined) seen.push(nameOf(envelope.message));
          }
          return seen;
        });
        for (const all of followed) all.catch(() => {}); // they are awaited below
        for (const [index, point] of deaths.entries()) {
          await expect(produce(`${index + 1}`, point)).rejects.toThrow("ended with SIGKILL");
        }
        await produce();
        const numbers = Array.from({ length: count }, (_, number) => number);
        for (const [index, journal] of [one, two].entries()) {
          const expected = numbers.flatMap((number) =>
            [0, 1, 2].map((part) => `${number}.${2 * part + index}`),
          );
          const committed = (await entriesByGo(gazette, journal)).filter(
            ({ flags }) => flags !== Flags.ACK_TXN,
          );
          expect(committed.map(({ message }) => nameOf(message))).toEqual(expected);
          expect(await followed[index]).toEqual(expected);
          const seen: string[] = [];
          const endOffset = (await client.append({ journal }, {})).commit?.end ?? 0n;
          for await (const { message } of new ReadCommitted(client, { journal, endOffset }, entries)) {
            seen.push(nameOf(message));
          }
          expect(seen).toEqual(expected);
          // What was not kept was written again: it did die in the middle.
          const written = await entriesByGo(gazette, journal, "-uncommitted");
          const times = (number: number): number =>
            written.filter(({ message: { transaction } }) => transaction === `${number}`).length;
          expect(numbers.map(times)).toEqual([3, 3 + (index === 0 ? 2 : 1), 6, 3, 3, 3, 3, 3]);
        }
        for (const reader of following) reader.close();
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});
