import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { Publisher, ReadCommitted } from "@x/journal-client/messages";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  buildGazette,
  buildGoServer,
  type EtcdServer,
  etcdBuild,
  type GazetteCluster,
  gazettePeerBuild,
  goBuildTimeoutMs,
  startEtcd,
  startGazette,
} from "../src/servers/index.js";
import { SeededRandom } from "../src/sim/random.js";
import { placesOf, transactionOf } from "./fixtures/journal-mortal-plan.mjs";
import { expectKnownFailures } from "./journal-known-failures.js";
import { connect, isMissing } from "./journal-support.js";
import {
  type EntryFraming,
  entries,
  entryLabels,
  nameOf,
  toEntries,
} from "./journal-transactions-entries.js";
import { Followers } from "./journal-transactions-readers.js";

const program = fileURLToPath(new URL("fixtures/journal-mortal.mjs", import.meta.url));

/** Producers at the same time, each of them one process after the other; the first two share their journals. */
const producers = ["json", "json", "protobuf"] as const;
/** Kills of each producer, unless that takes too long: a machine with much other work does fewer. */
const kills = 16;
const longestMs = 60_000;
/** A life is killed when it has told of so many steps at most, and so many milliseconds later at most. */
const mostSteps = 40;
const longestDelayMs = 6;
/** Transactions of the last life, which ends by itself. */
const lastCount = 8;

const seed = process.env.JOURNAL_SEED ?? String(Date.now());

interface Producer {
  readonly name: string;
  readonly framing: EntryFraming;
  readonly journals: readonly [string, string];
  /** Where it keeps what it has decided. */
  readonly kept: string;
  /** By the number of a transaction: the life that committed it. */
  readonly committedBy: string[];
  /** The last step of each life that was killed. */
  readonly ends: string[];
}

expectKnownFailures();

describe.skipIf(isMissing())("transactions over two journals", { timeout: 240_000 }, () => {
  let etcd: EtcdServer;
  let gazette: GazetteCluster;
  let folder = "";
  beforeAll(async () => {
    console.log(`JOURNAL_SEED=${seed}`);
    await buildGoServer(etcdBuild);
    await buildGazette();
    await buildGoServer(gazettePeerBuild);
    etcd = await startEtcd();
    gazette = await startGazette({ etcd });
    folder = await mkdtemp(join(tmpdir(), "x-harness-mortal-"));
  }, 3 * goBuildTimeoutMs);
  afterAll(async () => {
    await gazette?.stop();
    await etcd?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** One process of a producer, until it is killed, or ends behind its last transactions. */
  async function live(producer: Producer, life: string, isLast: boolean): Promise<void> {
    const random = new SeededRandom(`${seed}/${producer.name}/${life}`);
    const steps = random.integer(1, mostSteps);
    const delayMs = random.integer(0, longestDelayMs);
    const { name, kept, framing, journals } = producer;
    const args = [gazette.endpoint, kept, name, life, framing, ...journals];
    // One that hangs ends by another signal, and so fails.
    const child = spawn(process.execPath, [program, ...args, ...(isLast ? [`${lastCount}`] : [])], {
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 60_000,
      killSignal: "SIGTERM",
    });
    const exited = once(child, "exit");
    let told = "";
    let struck = isLast;
    for await (const chunk of child.stdout) {
      told += chunk;
      if (struck || told.split("\n").length <= steps) continue;
      struck = true;
      setTimeout(() => child.kill("SIGKILL"), delayMs);
    }
    const ended = await exited;
    expect(ended, `how ${life} of ${name} ended behind ${told}; the seed is ${seed}`).toEqual(
      isLast ? [0, null] : [null, "SIGKILL"],
    );
    if (!isLast) producer.ends.push(/(\w+)[^\n]*\n$/.exec(told)?.[1] ?? "");
    const decided = await readFile(kept, "utf8").then(JSON.parse, () => ({ number: -1 }));
    while (producer.committedBy.length <= decided.number) producer.committedBy.push(life);
  }

  /** What has to be read of a producer in one of its journals. */
  function namesOf({ name, committedBy }: Producer, place: number): string[] {
    return committedBy.flatMap((life, number) =>
      placesOf(number).flatMap((to, part) =>
        to === place ? [nameOf({ transaction: transactionOf(name, number), part, life })] : [],
      ),
    );
  }

  it("are read committed once, whole and in order, when their producers are killed again and again at any moment", async () => {
    const all = producers.map((framing, index): Producer => {
      const journals: [string, string] = [`mortal/${framing}/one`, `mortal/${framing}/two`];
      const kept = join(folder, `${index}.json`);
      return { name: `producer${index}`, framing, journals, kept, committedBy: [], ends: [] };
    });
    const framingOf = new Map(
      all.flatMap(({ framing, journals }) => journals.map((name) => [name, framing])),
    );
    const journals = [...framingOf.keys()];
    await gazette.createJournals(
      [...framingOf].map(([name, framing]) => ({ name, labels: entryLabels(framing) })),
    );
    await using client = connect(gazette);
    await using followers = new Followers({ client, journals });

    const until = performance.now() + longestMs;
    const living = all.map(async (producer) => {
      const random = new SeededRandom(`${seed}/${producer.name}`);
      for (let kill = 0; kill < kills && performance.now() < until; kill++) {
        await live(producer, `life${kill}`, false);
        if (random.chance(0.3)) followers.replace();
      }
      await live(producer, "last", true);
    });
    await Promise.allSettled(living);
    await Promise.all(living);

    // Behind it nothing comes: a reader that has it would have any duplicate, too.
    const service = client.appendService();
    const last = new Publisher(service, entries);
    for (const [journal, framing] of framingOf) {
      const message = { transaction: "last", part: 0 };
      expect(await last.publishCommitted(toEntries(journal, framing), message).err()).toBeUndefined();
    }
    await service.close();

    let unfinished = 0;
    for (const journal of journals) {
      await vi.waitFor(() => {
        expect(followers.failures).toEqual([]);
        expect(followers.seen(journal).at(-1)?.entry.transaction).toBe("last");
      }, 60_000);
      const seen = followers.seen(journal).map(({ entry }) => entry);
      for (const producer of all) {
        const names = seen
          .filter(({ transaction }) => transaction.startsWith(`${producer.name}-`))
          .map(nameOf);
        const place = producer.journals.indexOf(journal);
        expect(names, `of ${producer.name} in ${journal}; the seed is ${seed}`).toEqual(
          place === -1 ? [] : namesOf(producer, place),
        );
      }
      const committed = new Set(seen.map(nameOf));
      for (const { message } of await followers.expectAsGo(gazette, journal)) {
        // Acknowledgements are of no transaction.
        if (message.transaction !== undefined && !committed.has(nameOf(message))) unfinished++;
      }
      // One that begins when all is over.
      const names: string[] = [];
      const endOffset = (await client.append({ journal }, {})).commit?.end ?? 0n;
      for await (const { message } of new ReadCommitted(client, { journal, endOffset }, entries)) {
        names.push(nameOf(message));
      }
      expect(names).toEqual(seen.map(nameOf));
    }
    const ends = all.flatMap((producer) => producer.ends);
    const transactions = all.reduce((sum, { committedBy }) => sum + committedBy.length, 0);
    const unacknowledged = ends.filter((step) => step === "kept").length;
    console.log(
      `${ends.length} kills, ${unacknowledged} of them behind a decision and before its acknowledgements were told; ${transactions} transactions, and ${unfinished} messages of such as were never finished`,
    );
    // They did die in the middle.
    expect(unfinished).toBeGreaterThan(0);
    expect(transactions).toBeGreaterThan(lastCount * all.length);
  });
});
