/** What users do with a simulated topic system, all of it written down. */

import type { Txn } from "@x/coord";
import type { Message, TopicClient } from "@x/topic-gateway/client";
import { encodeRangeSize, parseTopicName, rangeSizeKey, sleep, TopicError } from "@x/topic-gateway/protocol";
import type { Stamp } from "../checker/index.js";
import type { Environment, Program } from "./node.js";
import { coordOf, openClient, type Setting } from "./programs.js";

export const topicName = "orders";
export const subscriptionNames = { earliest: "all", latest: "late" } as const;

const MAX_IN_FLIGHT = 40;
/** Publishing goes on for a while after the last fault. */
const PUBLISH_ON_MS = 3000;

export function readStamp(data: Uint8Array): Stamp {
  const [producer = "", number = ""] = Buffer.from(data).toString("utf8").split("|");
  return { producer, number: Number(number) };
}

/** Creates the topic and its subscriptions and changes its ranges, however often it takes. */
export function setupProgram(setting: Setting): Program {
  const { plan, world } = setting;
  return async (environment) => {
    const { clock } = environment.process;
    const client = await openClient(setting, environment);
    await untilDone(environment, "topic-exists", () => client.topics.add(topicName, plan.rangeSizeFactor));
    await untilDone(environment, "subscription-exists", () =>
      client.createSubscription(topicName, subscriptionNames.earliest),
    );
    const at = (atMs: number): Promise<void> => sleep(clock, Math.max(0, atMs - world.scheduler.nowMs));
    const subscribeLate = async (): Promise<void> => {
      if (plan.latestAtMs === undefined) return;
      await at(plan.latestAtMs);
      await untilDone(environment, "subscription-exists", () =>
        client.createSubscription(topicName, subscriptionNames.latest, { mode: "latest" }),
      );
    };
    const resize = async (): Promise<void> => {
      const coord = coordOf(setting, environment);
      const key = rangeSizeKey(parseTopicName(topicName));
      for (const { atMs, factor } of plan.resizes) {
        await at(atMs);
        const txn: Txn = {
          compare: [{ key, target: "create", op: ">", value: 0n }],
          then: [{ type: "put", key, value: encodeRangeSize(factor) }],
        };
        await untilDone(environment, "done", () => coord.txn(txn));
      }
    };
    await Promise.all([subscribeLate(), resize()]);
    await forever();
  };
}

export function producerProgram(setting: Setting): Program {
  return async (environment) => {
    const client = await openClient(setting, environment);
    const { process, terminated } = environment;
    await untilKnown(environment, client);
    const count = setting.plan.producersPerNode;
    // A new life is a new producer: what its last life had on its way may still come, behind what it sends now.
    const producers = Array.from({ length: count }, (_, i) => `${process.id}.${i}`);
    await Promise.all(producers.map((name, index) => produce(setting, environment, { client, name, index })));
    if (!terminated.aborted) await untilAborted(terminated);
    await client.close();
  };
}

async function produce(
  { plan, recorder, world }: Setting,
  { process, terminated }: Environment,
  { client, name, index }: { readonly client: TopicClient; readonly name: string; readonly index: number },
): Promise<void> {
  const { clock, random } = process;
  let number = 0;
  let inFlight = 0;
  const publish = async (): Promise<void> => {
    number += 1;
    // Each key has one producer.
    const key = `${process.name}.${index}.${random.integer(1, plan.keysPerProducer)}`;
    const size = random.chance(0.02) ? random.integer(1000, 5000) : random.integer(0, 100);
    const data = `${name}|${number}|${"x".repeat(size)}`;
    const op = recorder.publish({ topic: topicName, key, producer: name, number });
    inFlight += 1;
    try {
      op.acked(await client.publish(topicName, { key, data }));
    } catch (error) {
      const isRefused = error instanceof TopicError && error.code === "invalid-argument";
      if (isRefused) op.failed();
      else op.unknown();
    } finally {
      inFlight -= 1;
    }
  };
  while (world.scheduler.nowMs < plan.faultsUntilMs + PUBLISH_ON_MS && !terminated.aborted) {
    const burst = random.chance(0.2) ? random.integer(2, 10) : 1;
    for (let i = 0; i < burst && inFlight < MAX_IN_FLIGHT; i++) void publish();
    await sleep(clock, random.between(0, 2 * plan.publishEveryMs));
  }
}

export function consumerProgram(setting: Setting): Program {
  return async (environment) => {
    const client = await openClient(setting, environment);
    const names = Object.values(subscriptionNames).slice(0, setting.plan.latestAtMs === undefined ? 1 : 2);
    await Promise.all(names.map((name) => consume(setting, environment, { client, name })));
    await client.close();
  };
}

async function consume(
  { plan, recorder, world }: Setting,
  { process, terminated }: Environment,
  { client, name }: { readonly client: TopicClient; readonly name: string },
): Promise<void> {
  const { clock, random } = process;
  while (!terminated.aborted) {
    try {
      const consumer = await client.subscribe(topicName, name, {
        consumer: process.name,
        sessionTtlMs: plan.sessionTtlMs,
        // Small, so that reading ahead is held up.
        prefetchBytes: 3000,
        ackDeadlineMs: 10_000,
        drainMs: 500,
        commitIntervalMs: 100,
      });
      const isCalm = world.scheduler.nowMs > plan.faultsUntilMs;
      const leaveAtMs =
        clock.monotonicMs() + (isCalm ? Number.POSITIVE_INFINITY : random.between(2000, 30_000));
      while (clock.monotonicMs() < leaveAtMs && !terminated.aborted) {
        const messages = await consumer.pull({
          maxMessages: random.integer(1, 40),
          waitMs: random.between(100, 1500),
        });
        for (const message of messages)
          recorder.delivery({ ...delivered(message), topic: topicName, subscription: name });
        if (random.chance(0.3)) await sleep(clock, random.between(0, 60));
        for (const message of lastOfEachSegment(messages)) {
          const { session, segment, sequence, lease } = delivered(message);
          const op = recorder.commit({
            topic: topicName,
            subscription: name,
            session,
            segment,
            sequence,
            lease,
          });
          const answer = message.acknowledge().then(
            () => op.ok(),
            (error: unknown) => {
              if (error instanceof TopicError && error.code === "lease-lost") op.refused();
            },
          );
          if (random.chance(0.3)) await answer;
        }
      }
      await consumer.close();
      await sleep(clock, random.between(0, 2000));
    } catch (error) {
      // It is not there yet, or the store is not.
      if (!(error instanceof Error && "code" in error)) throw error;
      await sleep(clock, 300);
    }
  }
}

function delivered(message: Message) {
  // `{session}.{lease}.{segment}.{sequence}`: opaque for users, but the observer wants to know.
  const [session = "", lease = "0"] = message.ack.split(".");
  const { id, key, segment, sequence, data } = message;
  return { id, key, segment, sequence, session, lease: BigInt(lease), ...readStamp(data) };
}

function lastOfEachSegment(messages: readonly Message[]): Message[] {
  return [...new Map(messages.map((message) => [message.segment, message])).values()];
}

async function untilKnown({ process }: Environment, client: TopicClient): Promise<void> {
  while (!client.topics.list().some(({ name }) => name === topicName)) await sleep(process.clock, 100);
}

async function untilDone(
  { process }: Environment,
  already: string,
  work: () => Promise<unknown>,
): Promise<void> {
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === already) return;
      if (code !== "unavailable") throw error;
    }
    await sleep(process.clock, 300);
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function forever(): Promise<never> {
  return new Promise(() => {});
}
