import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteBroker,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";
import { connect, isMissing } from "./journal-support.js";
import { type Phase, Transactions } from "./journal-transactions.js";
import { type EntryFraming, entryLabels } from "./journal-transactions-entries.js";

/** Enough that each fate of a transaction comes at least once. */
const SOME = 10;

const journals = ["transactions/one", "transactions/two"] as const;

type Test = NonNullable<Parameters<typeof startGazette>[0]["test"]>;

/** Three brokers, two for each journal. */
async function threeBrokers(
  test: Test,
  etcd: EtcdServer,
  { framing, leaseSeconds }: { readonly framing: EntryFraming; readonly leaseSeconds: number },
): Promise<GazetteCluster> {
  const gazette = await startGazette({ etcd, test, brokers: 3, leaseSeconds });
  const labels = entryLabels(framing);
  await gazette.createJournals(journals.map((name) => ({ name, labels, replication: 2, refreshSeconds: 1 })));
  return gazette;
}

/** The broker that is the first journal's primary, or its replica. */
async function brokerOf(gazette: GazetteCluster, role: "primary" | "replica"): Promise<GazetteBroker> {
  const primary = await gazette.primaryOf(journals[0]);
  if (role === "primary") return primary;
  const listed = (await gazette.listJournals()).find(({ name }) => name === journals[0]);
  const suffixes = listed?.members.map(({ suffix }) => suffix) ?? [];
  const replica = gazette.brokers.find(
    (broker) => broker !== primary && suffixes.includes(broker.processId.suffix),
  );
  if (replica === undefined) throw new Error(`${journals[0]} has no replica`);
  return replica;
}

/** Those of each journal, when acknowledgements failed in several. */
function errorsOf(error: unknown): readonly unknown[] {
  const { cause } = error as { readonly cause?: unknown };
  return cause instanceof AggregateError ? cause.errors : [error];
}

expectKnownFailures();

describe.skipIf(isMissing())("transactions over two journals", { timeout: 240_000 }, () => {
  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
  }, 3 * goBuildTimeoutMs);

  const outages = {
    "stands still": {
      framing: "json",
      strike: (etcd: EtcdServer) => etcd.kill("SIGSTOP"),
      heal: (etcd: EtcdServer) => etcd.kill("SIGCONT"),
    },
    "is killed": {
      framing: "protobuf",
      strike: (etcd: EtcdServer) => etcd.kill("SIGKILL"),
      heal: (etcd: EtcdServer) => etcd.restart(),
    },
  } as const;

  it.for(Object.keys(outages) as (keyof typeof outages)[])(
    "are read committed once while etcd %s, and when a broker is killed meanwhile",
    async (name, test) => {
      const { framing, strike, heal } = outages[name];
      const etcd = await startEtcd({ test });
      const gazette = await threeBrokers(test, etcd, { framing, leaseSeconds: 60 });
      await using client = connect(gazette, { endpoints: gazette.endpoints });
      await using traffic = new Transactions({ client, journals, framing });
      await traffic.committed(SOME);
      const primary = await brokerOf(gazette, "primary");
      await strike(etcd);
      // Brokers need it only when something changes.
      await traffic.committed(SOME);
      traffic.replaceReaders();
      await traffic.committed(SOME);
      await primary.kill("SIGKILL");
      await traffic.failedTries(3);
      traffic.replaceReaders();
      await heal(etcd);
      await primary.restart();
      await gazette.waitForAssignment(journals);
      await traffic.committed(SOME);
      await traffic.finish(gazette);
      expect(gazette.brokers.every(({ running }) => running)).toBe(true);
    },
  );

  // Brokers end when they cannot renew their leases, and bring what they have to the store before. Those that come then take appends to a
  // journal only when somebody says that all the others are gone.
  it.for(Object.keys(outages) as (keyof typeof outages)[])(
    "are read committed once when etcd %s until all brokers have ended, and go on when the journals' heads are reset",
    async (name, test) => {
      const { framing, strike, heal } = outages[name];
      const etcd = await startEtcd({ test });
      const gazette = await threeBrokers(test, etcd, { framing, leaseSeconds: 2 });
      await using client = connect(gazette, { endpoints: gazette.endpoints });
      const refusals: unknown[] = [];
      let resume = (): void => {};
      const isReset = new Promise<void>((resolve) => {
        resume = resolve;
      });
      const recover = async (error: unknown): Promise<void> => {
        refusals.push(error);
        await isReset;
      };
      await using traffic = new Transactions({ client, journals, framing, publishers: 3, recover });
      await traffic.committed(SOME);
      // One publisher has its decision, and has perhaps told the first journal of it.
      const end = Promise.all(gazette.brokers.map(({ exited }) => exited));
      await new Promise<void>((resolve) => {
        traffic.beforeCommit = async (phase, journal) => {
          if (phase !== "acknowledgements" || journal !== journals[1]) return;
          traffic.beforeCommit = undefined;
          resolve();
          await end;
        };
      });
      await strike(etcd);
      expect((await end).map(({ code }) => code)).toEqual([1, 1, 1]);
      traffic.replaceReaders();
      await heal(etcd);
      await Promise.all(gazette.brokers.map((broker) => broker.restart()));
      await gazette.waitForAssignment(journals);
      await vi.waitFor(() => expect(refusals).toHaveLength(3), 60_000);
      for (const error of refusals.flatMap(errorsOf)) {
        expect(error).toMatchObject({ code: "index-has-greater-offset" });
      }
      await gazette.gazctl(["journals", "reset-head", "-l", "prefix=transactions/"]);
      resume();
      await traffic.committed(SOME);
      traffic.replaceReaders();
      await traffic.committed(SOME);
      await traffic.finish(gazette);
      expect(traffic.retries.reads).toBeGreaterThan(0);
      expect(refusals).toHaveLength(3);
    },
  );

  describe("and a broker that stands still with its connections open", () => {
    let etcd: EtcdServer;
    beforeAll(async () => {
      etcd = await startEtcd();
    });
    afterAll(() => etcd?.stop());

    /**
     * Resolves when the broker stands still in the middle of an append of a publisher: when it has the content, and before it is told to commit, or
     * at some moment behind that.
     */
    function strike(
      traffic: Transactions,
      broker: GazetteBroker,
      { phase, commit }: { readonly phase: Phase; readonly commit: "before" | "behind" },
    ): Promise<void> {
      return new Promise((resolve, reject) => {
        const isIt = (at: Phase, journal: string): boolean => at === phase && journal === journals[0];
        const stop = (): Promise<void> => broker.kill("SIGSTOP").then(resolve, reject);
        if (commit === "before") {
          traffic.beforeCommit = async (at, journal) => {
            if (!isIt(at, journal)) return;
            traffic.beforeCommit = undefined;
            await stop();
          };
        } else {
          traffic.onCommit = (at, journal) => {
            if (!isIt(at, journal)) return;
            traffic.onCommit = undefined;
            setImmediate(stop);
          };
        }
      });
    }

    it.for([
      { role: "primary", framing: "json" },
      { role: "replica", framing: "protobuf" },
    ] as const)(
      "are read committed once, when it is the $role and goes on before others have its journals, as $framing",
      async ({ role, framing }, test) => {
        const gazette = await threeBrokers(test, etcd, { framing, leaseSeconds: 60 });
        await using client = connect(gazette, { endpoints: gazette.endpoints });
        await using traffic = new Transactions({ client, journals, framing });
        await traffic.committed(SOME);
        for (const commit of ["before", "behind"] as const) {
          for (const phase of ["messages", "acknowledgements"] as const) {
            const broker = await brokerOf(gazette, role);
            await strike(traffic, broker, { phase, commit });
            traffic.replaceReaders();
            await broker.kill("SIGCONT");
            await traffic.committed(SOME);
          }
        }
        await traffic.finish(gazette);
      },
    );

    it.for([
      { phase: "messages", commit: "behind", role: "replica", framing: "protobuf" },
      { phase: "acknowledgements", commit: "before", role: "primary", framing: "json" },
    ] as const)(
      "are read committed once, when it is the $role, in the middle of $phase, and others have its journals before it goes on, as $framing",
      async ({ phase, commit, role, framing }, test) => {
        const gazette = await threeBrokers(test, etcd, { framing, leaseSeconds: 2 });
        await using client = connect(gazette, { endpoints: gazette.endpoints });
        await using traffic = new Transactions({ client, journals, framing });
        await traffic.committed(SOME);
        const broker = await brokerOf(gazette, role);
        await strike(traffic, broker, { phase, commit });
        traffic.replaceReaders();
        const other = gazette.brokers.find((each) => each !== broker) ?? broker;
        await vi.waitFor(async () => {
          const listed = await gazette.listJournals({ broker: other });
          const members = listed.flatMap((journal) => journal.members.map(({ suffix }) => suffix));
          expect(members).not.toContain(broker.processId.suffix);
          expect(members).toHaveLength(2 * journals.length);
        }, 60_000);
        await broker.kill("SIGCONT");
        // It finds that its lease is over.
        expect((await broker.exited).code).toBe(1);
        await traffic.committed(SOME);
        traffic.replaceReaders();
        await broker.restart();
        await traffic.committed(SOME);
        await traffic.finish(gazette);
      },
    );
  });
});
